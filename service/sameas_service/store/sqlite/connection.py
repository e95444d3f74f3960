"""Connections: one that writes, some that read."""

import sqlite3
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

CACHE_KIB = 32_768
"""Pages that the writer keeps in memory; a reader a quarter. Twice as much costs 60 MiB more of
memory at a million persons, and saves no time that could be measured: the kernel has the rest."""

STATEMENTS_CACHED = 512
BUSY_MILLISECONDS = 5_000
CHECKPOINT_PAGES = 4_000


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes and checkpoints.

    SQLite up to 3.51.2 can lose commits where two connections write or checkpoint at the
    same instant (the WAL-reset bug); with one that does both it cannot happen.
    """
    connection = _open(f"file:{path}?mode=rwc")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit is on disk when it returns. NORMAL loses acknowledged commits at a
    # power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    # For maintenance, which has the database for itself; a server's writer checkpoints between
    # its transactions instead (see `checkpoints`).
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    # 64 MiB: to what a log that grew beyond is cut off when it begins again.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write and never checkpoints."""
    connection = _open(f"file:{path}?mode=rw")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB // 4}")
    return connection


def _open(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_CACHED,
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def one(connection: sqlite3.Connection, sql: str, *parameters: Any) -> Any:
    """The JSON value of a statement's one row and column.

    A result as one row is a matter of speed: the sqlite3 module gives the GIL away at every
    row, and beside a busy event loop wins it back only after the switch interval.
    """
    row = connection.execute(sql, parameters).fetchone()
    return None if row is None or row[0] is None else orjson.loads(row[0])


def as_json(value: Any) -> str:
    """A value as a parameter for `json_each`."""
    return orjson.dumps(value).decode()


NULL = -(2**63)
"""Stands for None where a row has many: the sqlite3 module looks for an adapter of each None,
which takes as long as all else of a row's binding (1 of 2 microseconds a message, measured)."""


class Insert:
    """An INSERT of many rows as few statements, which the connection keeps prepared.

    A VALUES list of as many 64s of rows as there are, and one of the rest. `executemany` would be
    one step, and one fight for the GIL, a row; `json_each` parses each column of each row anew
    (8 of 24 microseconds a row, measured).
    """

    def __init__(
        self, table: str, columns: int, conflict: str = "", nullable: Collection[int] = ()
    ) -> None:
        """Columns are counted from 0; in a nullable one `NULL` is to stand for None."""
        self._table = table
        cells = [f"nullif(?, {NULL})" if at in nullable else "?" for at in range(columns)]
        self._row = f"({', '.join(cells)})"
        self._conflict = conflict
        self._statements: dict[int, str] = {}

    def run(self, connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        """Inserts the rows, in their order."""
        at = 0
        while at < len(rows):
            size = _rows_at_once(len(rows) - at)
            values = chain.from_iterable(rows[at : at + size])
            connection.execute(self._statement(size), tuple(values))
            at += size

    def _statement(self, size: int) -> str:
        found = self._statements.get(size)
        if found is None:
            rows = ", ".join([self._row] * size)
            found = f"INSERT INTO {self._table} VALUES {rows} {self._conflict}"  # noqa: S608
            self._statements[size] = found
        return found


def _rows_at_once(left: int) -> int:
    """How many rows the next statement takes: few enough sizes to keep each prepared, and
    below SQLite's limit of 32,766 parameters at 17 columns.
    """
    return left if left < 64 else min(left, 1_024) // 64 * 64
