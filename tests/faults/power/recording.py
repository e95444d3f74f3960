"""What a recorded server did to its disk, and what its clients were told."""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from faults.power.steps import Step

Row = tuple[Any, ...]

_LEDGER = "SELECT * FROM message NOT INDEXED ORDER BY seq"
_ID_COLUMN = 2


class Acknowledged(NamedTuple):
    """A call that was answered with OK.

    Attributes:
        at_ns: the Unix time behind its answer.
        message_ids: of all its messages.
    """

    at_ns: int
    message_ids: tuple[str, ...]


class Recording(NamedTuple):
    """What happened on the disk, and what the clients know.

    Attributes:
        steps: of the data directory, in order.
        acknowledged: every call, in order of the time of its answer.
        ledger: the rows of the finished ledger, in order. None is ever rewritten here: no message
            of the workload is an unlink.
    """

    steps: list[Step]
    acknowledged: list[Acknowledged]
    ledger: list[Row]

    def places(self) -> dict[str, int]:
        """Each message's place in the finished ledger."""
        return {row[_ID_COLUMN]: place for place, row in enumerate(self.ledger)}


def ledger_of(file: Path) -> list[Row]:
    """The rows of a ledger that nobody has open, by their table and no index."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return connection.execute(_LEDGER).fetchall()
    finally:
        connection.close()
