"""What a stopped server left behind, held against the model."""

from contextlib import closing
from pathlib import Path
from typing import Any

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from support.stored import opened


def dumped(data: Path) -> dict[str, Any]:
    """Everybody, as the derived tables have it."""
    with closing(opened(data, Rules())) as held:
        return held.dump()


def left_behind(data: Path) -> tuple[list[Message], dict[str, Any]]:
    """The messages in a data directory that no server has open, and the dump of its tables."""
    with closing(opened(data, Rules())) as held:
        return held.messages(), held.dump()
