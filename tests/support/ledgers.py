"""What a stopped server left behind, held against the model."""

from pathlib import Path
from typing import Any

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from sameas_service.store.sqlite import ledger
from sameas_service.store.sqlite.connection import one
from sameas_service.store.sqlite.database import Database

_IDS = "SELECT json_group_array(message_id) FROM message"


def dumped(data: Path) -> dict[str, Any]:
    """Everybody, as the derived tables have it."""
    database = Database(data, Rules())
    try:
        return database.dump()
    finally:
        database.close()


def left_behind(data: Path) -> tuple[list[Message], dict[str, Any]]:
    """The messages in a data directory that no server has open, and the dump of its tables."""
    database = Database(data, Rules())
    reader = database.reader()
    try:
        ids = one(reader, _IDS)
        messages = [message for message, _ in ledger.by_id(reader, database.workspace.id, ids)]
        return messages, database.dump()
    finally:
        reader.close()
        database.close()
