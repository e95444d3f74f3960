"""The stores that every suite on the port runs against. A further store is one line in `PLACES`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sameas_service.resolver.ports import Store
from sameas_service.store.sqlite.store import SqliteStore


class Place:
    """Where a store keeps what it has, and the store that is open there now.

    Attributes:
        store: the open store.
    """

    def __init__(self, open_: Callable[[], Store]) -> None:
        self._open = open_
        self.store = open_()

    def reopen(self) -> None:
        """Close the store and open it again."""
        self.store.close()
        self.store = self._open()


@contextmanager
def sqlite() -> Iterator[Place]:
    """A data directory in memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        place = Place(lambda: SqliteStore(Path(directory)))
        try:
            yield place
        finally:
            place.store.close()


PLACES = {"sqlite": sqlite}
"""By name."""
