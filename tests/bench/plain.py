"""Plain sqlite3 that inserts the rows of a server's ledger: what keeping them costs at least."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sameas_service.store.sqlite import migrations
from sameas_service.store.sqlite.connection import open_writer

Row = tuple[Any, ...]


class Plain:
    """A database of the service's tables, indexes and pragmas, that nothing is derived in.

    Attributes:
        seconds, cpu: what the latest `insert` took, by the wall clock and of CPU.
    """

    def __init__(self, path: Path, transaction: int) -> None:
        """Each transaction has so many rows, and one fsync."""
        self._connection = open_writer(path)
        migrations.migrate(self._connection)
        self._transaction = transaction
        self.seconds = self.cpu = 0.0

    def insert(self, rows: Sequence[Row]) -> None:
        """Inserts rows by `executemany`, and measures it."""
        statement = f"INSERT INTO message VALUES ({', '.join('?' * len(rows[0]))})"
        begin, cpu = time.perf_counter(), time.process_time()
        for at in range(0, len(rows), self._transaction):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(statement, rows[at : at + self._transaction])
            self._connection.execute("COMMIT")
        self.seconds = time.perf_counter() - begin
        self.cpu = time.process_time() - cpu

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()


class Ledger:
    """Reads what a server has kept since the last look, while it serves."""

    def __init__(self, data: Path) -> None:
        """The server's data directory."""
        self._uri = f"file:{data / 'sameas.db'}?mode=ro"
        self._seq = 0

    def fresh(self) -> list[Row]:
        """The rows behind those of the last call, in order, as they were inserted."""
        connection = sqlite3.connect(self._uri, uri=True)
        try:
            rows = connection.execute(
                "SELECT * FROM message WHERE seq > ? ORDER BY seq", (self._seq,)
            ).fetchall()
        finally:
            connection.close()
        self._seq = rows[-1][0] if rows else self._seq
        return rows
