"""The port on a data directory: one connection writes, others read."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.failures import NoStore, StoreFailed
from sameas_service.resolver.ports import (
    LedgerReader,
    Maintenance,
    ReadTransaction,
    WriteTransaction,
)
from sameas_service.store import failpoints
from sameas_service.store.failpoints import Failpoint
from sameas_service.store.sqlite import migrations, rebuild_mark
from sameas_service.store.sqlite.connection import (
    failure_of,
    open_reader,
    open_writer,
    translated,
    undone_on_error,
)
from sameas_service.store.sqlite.ledger import SqliteLedgerReader
from sameas_service.store.sqlite.lock import DirectoryLock
from sameas_service.store.sqlite.maintenance import SqliteMaintenance
from sameas_service.store.sqlite.reads import SqliteReadTransaction
from sameas_service.store.sqlite.wal import Checkpoints
from sameas_service.store.sqlite.wal_reset_bug import LOOK_SECONDS, Guard
from sameas_service.store.sqlite.writes import SqliteWriteTransaction

log = logging.getLogger(__name__)

T = TypeVar("T")

FILE = "sameas.db"


class SqliteStore:
    """A data directory, for this process alone; see `Store` for the methods."""

    def __init__(self, directory: Path) -> None:
        """Take the directory's lock, open the database and migrate it.

        Raises:
            StoreInUse: another process has it open.
            RebuildUnfinished: its tables are not to be used before a rebuild is finished.
            StoreError: see `Store`.
        """
        self._path = directory / FILE
        self._idle: list[sqlite3.Connection] = []
        self._readers = threading.Lock()
        self._writing = threading.Lock()  # of the one connection that writes
        with translated(), undone_on_error() as undo:
            self._lock = DirectoryLock(directory)
            undo.callback(self._lock.release)
            self._writer = undo.enter_context(closing(open_writer(self._path)))
            self._path.chmod(0o600)
            self._checkpoints = Checkpoints(self._writer, self._path)
        with translated(), undone_on_error() as undo:
            undo.callback(self.close)
            migrations.migrate(self._writer)
            rebuild_mark.check(self._writer)
            self._guard = Guard(self._path)
            self._guard.look()
            self._look_at = time.monotonic() + LOOK_SECONDS

    def workspace(self, name: str, session_gap: int) -> Workspace:
        found = Workspace(*self._in_transaction(lambda: self._made(name, session_gap)))
        if found.session_gap != session_gap:
            log.warning(
                "the session gap stays at %s s, with which the directory was made; "
                "`sameas rebuild --session-gap-seconds` changes it",
                found.session_gap / 1_000_000,
            )
        return found

    def write(self, work: Callable[[WriteTransaction], T], *, keep: bool = True) -> T:
        """See `Store.write`. It runs once: there is one writer, so nothing conflicts."""
        return self._in_transaction(lambda: work(SqliteWriteTransaction(self._writer)), keep=keep)

    def read(self, work: Callable[[ReadTransaction], T]) -> T:
        with translated(), self._reader() as connection:
            connection.execute("BEGIN")
            try:
                return work(SqliteReadTransaction(connection))
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def scan(self, work: Callable[[LedgerReader], T]) -> T:
        """See `Store.scan`. Each statement has a snapshot of its own, up to the last message
        that there was at the beginning: the ledger only grows.
        """
        with translated(), self._reader() as connection:
            return work(SqliteLedgerReader(connection))

    def between_writes(self) -> None:
        """Checkpoint where it is due, and look who else has the database open."""
        failpoints.at(Failpoint.AFTER_ANSWER)
        try:
            with translated(), self._writing:
                self._checkpoints.run_if_due()
        except OSError as error:  # of the WAL's file, which is read past SQLite
            raise StoreFailed(str(error)) from error
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._guard.look()
            self._look_at = time.monotonic() + LOOK_SECONDS

    def ready(self, timeout_seconds: float) -> bool:
        """See `Store.ready`. A read waits for no lock longer than its connection's timeout."""
        self.read(lambda transaction: transaction.changes(Workspace(0, "", 0), 0, 1))
        return True

    def close(self) -> None:
        """Checkpoint, close, and let the next process in; not after `StoreFailed`."""
        with translated(), ExitStack() as closing_:
            closing_.callback(self._lock.release)
            closing_.callback(self._checkpoints.close_shm)
            closing_.callback(self._writer.close)
            closing_.callback(self._checkpoints.close)
            for reader in self._idle:
                closing_.callback(reader.close)

    def _made(self, name: str, session_gap: int) -> tuple[int, str, int]:
        self._writer.execute(
            "INSERT INTO workspace (name, session_gap) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (name, session_gap),
        )
        sql = "SELECT id, name, session_gap FROM workspace WHERE name = ?"
        found: tuple[int, str, int] = self._writer.execute(sql, (name,)).fetchone()
        return found

    def _in_transaction(self, work: Callable[[], T], *, keep: bool = True) -> T:
        """Run `work` in a transaction; one plain method, since it runs for each message."""
        with self._writing:
            failpoints.at(Failpoint.BEFORE_BEGIN)
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                failpoints.at(Failpoint.AFTER_BEGIN)
                result = work()
                failpoints.at(Failpoint.BEFORE_COMMIT)
                self._writer.execute("COMMIT" if keep else "ROLLBACK")
            except BaseException as error:
                # A rollback that fails says nothing new: the next BEGIN will.
                with suppress(sqlite3.Error):
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise failure_of(error) from error
                raise
            failpoints.at(Failpoint.AFTER_COMMIT)
            return result

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one read, and keep it for the next."""
        with self._readers:
            connection = self._idle.pop() if self._idle else None
        connection = connection or open_reader(self._path)
        try:
            yield connection
        finally:
            self._idle.append(connection)


@contextmanager
def open_ledger(directory: Path, *, derived: bool = False) -> Iterator[LedgerReader]:
    """Open a data directory for reading, whether or not a server runs on it.

    Args:
        directory: the data directory.
        derived: whether the derived tables are read, and not the ledger alone.

    Raises:
        NoStore: there is no database.
        RebuildUnfinished: the derived tables cannot be used.
    """
    with translated(), closing(open_reader(database_file(directory))) as connection:
        if derived:
            rebuild_mark.check(connection)
        yield SqliteLedgerReader(connection)


@contextmanager
def open_maintenance(directory: Path) -> Iterator[Maintenance]:
    """Open a data directory by itself, for verify and rebuild.

    What SQLite sorts goes to the disk, so that a ledger of any size needs little memory: to
    `SQLITE_TMPDIR`, else `TMPDIR`, else /var/tmp.

    Raises:
        NoStore: there is no database.
        StoreInUse: another process has it open.
    """
    path = database_file(directory)
    with translated(), ExitStack() as undo:
        undo.callback(DirectoryLock(directory).release)
        connection = undo.enter_context(closing(open_writer(path)))
        migrations.migrate(connection)
        connection.execute("PRAGMA temp_store = FILE")
        yield SqliteMaintenance(connection)


def database_file(directory: Path) -> Path:
    """Return the database of a data directory.

    Raises:
        NoStore: there is none.
    """
    path = directory / FILE
    if not path.is_file():
        raise NoStore(f"there is no database in {directory}; is it the data directory?")
    return path
