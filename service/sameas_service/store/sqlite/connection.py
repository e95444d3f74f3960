"""Connections: one that writes, some that read; and what the driver's errors mean."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from sameas_service.resolver.failures import StoreBusy, StoreError, StoreFailed, StoreFull

CACHE_KIB = 32_768
"""Pages that the writer keeps in memory; a reader a quarter. Twice as much costs 60 MiB more of
memory at a million persons, and saves no time that could be measured: the kernel has the rest."""

STATEMENTS_CACHED = 512
BUSY_MILLISECONDS = 5_000
CHECKPOINT_PAGES = 4_000


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes and checkpoints.

    SQLite up to 3.51.2 can lose commits where two connections write or checkpoint at the
    same instant (the WAL-reset bug); with one that does both it cannot happen.
    """
    return _open(
        f"file:{path}?mode=rwc",
        "journal_mode = WAL",
        # FULL: a commit is on disk when it returns. NORMAL loses acknowledged commits at a
        # power cut.
        "synchronous = FULL",
        f"cache_size = -{CACHE_KIB}",
        # For maintenance, which has the database for itself; a server's writer checkpoints
        # between its transactions instead (see `wal`).
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        # 64 MiB: a log that grew longer is cut to this when it begins again.
        "journal_size_limit = 67108864",
        "secure_delete = ON",
    )


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write and never checkpoints."""
    return _open(
        f"file:{path}?mode=rw",
        "query_only = ON",
        "wal_autocheckpoint = 0",
        f"cache_size = -{CACHE_KIB // 4}",
    )


def _open(uri: str, *pragmas: str) -> sqlite3.Connection:
    with undone_on_error() as undo:
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
        )
        undo.callback(connection.close)
        for pragma in (f"busy_timeout = {BUSY_MILLISECONDS}", "temp_store = MEMORY", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    return connection


class Statements:
    """Statements on one connection, with parameters by name."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _one(self, sql: str, **parameters: Any) -> Any:
        """Return the JSON value of a statement's one row and column.

        A result as one row is a matter of speed: the sqlite3 module releases the GIL at every
        row, and beside a busy event loop wins it back only after the switch interval.
        """
        row = self._connection.execute(sql, parameters).fetchone()
        return None if row is None or row[0] is None else orjson.loads(row[0])

    def _rows(self, sql: str, **parameters: Any) -> list[Any]:
        """Return all rows of a statement."""
        return self._connection.execute(sql, parameters).fetchall()


def loads(cell: Any) -> Any:
    """Return a nested value, which is text where SQLite no longer knew that it was JSON."""
    return orjson.loads(cell) if isinstance(cell, str) else cell


def as_json(value: Any) -> str:
    """Return a value as a parameter for `json_each`."""
    return orjson.dumps(value).decode()


NULL = -(2**63)
"""Passed for None where a row has many of them: the sqlite3 module looks for an adapter of each,
which takes as long as all else of a row's binding (1 of 2 microseconds a message, measured)."""


class Insert:
    """An INSERT of many rows as few statements, which the connection keeps prepared.

    Each takes as many rows as there are in multiples of 64, up to 1,024, and the last one takes
    the rest. `executemany` would be one step, and one fight for the GIL, a row; `json_each`
    parses each column of each row anew (8 of 24 microseconds a row, measured).
    """

    def __init__(
        self, table: str, columns: int, conflict: str = "", nullable: Collection[int] = ()
    ) -> None:
        """Begin with no statement. Columns count from 0; pass `NULL` for None in a nullable one."""
        self._table = table
        cells = [f"nullif(?, {NULL})" if at in nullable else "?" for at in range(columns)]
        self._row = f"({', '.join(cells)})"
        self._conflict = conflict
        self._statements: dict[int, str] = {}

    def run(self, connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        """Insert the rows, in their order."""
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
    """Return how many rows the next statement takes: few enough sizes to keep each prepared,
    and below SQLite's limit of 32,766 parameters at 17 columns.
    """
    return left if left < 64 else min(left, 1_024) // 64 * 64


_BUSY = frozenset([sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED])
_OURS = frozenset(
    [
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    ]
)
"""A statement is wrong, or asks for too much: the database is as it was before."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise a failure of the port where SQLite raises an error."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure_of(error) from error


@contextmanager
def undone_on_error() -> Iterator[ExitStack]:
    """Undo what opening did, if it fails.

    After an error of the disk all is left as it is: to close a database would write and sync
    again. What is no database, or a damaged one, is closed like any other.
    """
    with ExitStack() as undo:
        try:
            yield undo
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_IOERR:
                undo.pop_all()
            raise
        undo.pop_all()


def failure_of(error: sqlite3.Error) -> StoreError:
    """Return the failure that an error of SQLite means.

    A code that is not known to be harmless is taken for a failed disk: read errors, a database
    that cannot be opened or written, that is damaged or no database, and a broken protocol.
    """
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(str(error))
    if code in _BUSY:
        return StoreBusy(str(error))
    if code in _OURS or code < 0:
        return StoreError(str(error))
    return StoreFailed(str(error))


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; -1 for an error of the module's own."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code > 0 else code
