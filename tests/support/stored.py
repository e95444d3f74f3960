"""A store with a history in it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from sameas_service.store.sqlite.database import Database


@contextmanager
def stored(batches: list[list[Message]], rules: Rules) -> Iterator[Database]:
    """A store that got the batches, on a directory of its own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        database = Database(Path(directory), rules)
        try:
            for batch in batches:
                database.append(batch)
            yield database
        finally:
            database.close()
