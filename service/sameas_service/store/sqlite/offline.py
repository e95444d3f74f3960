"""A data directory opened by itself, for maintenance: no server may have it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sameas_service.store.sqlite import schema
from sameas_service.store.sqlite.connection import open_writer
from sameas_service.store.sqlite.database import FILE
from sameas_service.store.sqlite.lock import DirectoryLock


class NoDatabaseError(Exception):
    """The directory holds no database."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"there is no database in {directory}; is it the data directory?")


def database_file(directory: Path) -> Path:
    """The database of a data directory.

    Raises:
        NoDatabaseError: there is none.
    """
    path = directory / FILE
    if not path.is_file():
        raise NoDatabaseError(directory)
    return path


@contextmanager
def opened(directory: Path) -> Iterator[sqlite3.Connection]:
    """The one connection to a data directory, whose lock is held meanwhile.

    What it sorts or puts into temporary tables goes to the disk (to `SQLITE_TMPDIR`, else
    `TMPDIR`, else /var/tmp), so that a ledger of any size needs little memory.

    Raises:
        NoDatabaseError: there is no database.
        DirectoryBusyError: another process has it open.
    """
    path = database_file(directory)
    lock = DirectoryLock(directory)
    try:
        connection = open_writer(path)
        try:
            schema.migrate(connection)
            connection.execute("PRAGMA temp_store = FILE")
            yield connection
        finally:
            connection.close()
    finally:
        lock.release()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is written inside."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
