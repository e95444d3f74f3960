"""The database file, as one process has it open: one connection writes, others read."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sameas_service.domain.derive import Rules
from sameas_service.domain.errors import Refused
from sameas_service.domain.message import Message
from sameas_service.domain.preview import Preview
from sameas_service.domain.receipt import Receipt
from sameas_service.store.sqlite import failpoints, marker, schema
from sameas_service.store.sqlite.append import append
from sameas_service.store.sqlite.checkpoints import Checkpoints
from sameas_service.store.sqlite.connection import one, open_reader, open_writer
from sameas_service.store.sqlite.dump import dump
from sameas_service.store.sqlite.engine import Guard
from sameas_service.store.sqlite.failpoints import Failpoint
from sameas_service.store.sqlite.index import Index
from sameas_service.store.sqlite.lock import DirectoryLock
from sameas_service.store.sqlite.subject import Workspace
from sameas_service.store.sqlite.trying import try_out

log = logging.getLogger(__name__)

Result = TypeVar("Result")

FILE = "sameas.db"


class Database:
    """The synchronous store: opening it takes the data directory's lock and migrates."""

    def __init__(self, directory: Path, rules: Rules) -> None:
        """Opens the database, making it where it is missing.

        Raises:
            DirectoryBusyError: another process has it open.
            RebuildUnfinishedError: its tables are not to be used before a rebuild is finished.
        """
        self._lock = DirectoryLock(directory)
        self._path = directory / FILE
        self._writer = open_writer(self._path)
        self._path.chmod(0o600)
        self._checkpoints = Checkpoints(self._writer, self._path)
        self._index = Index(self._path)
        schema.migrate(self._writer)
        if marker.is_set(self._writer):
            self.close()
            raise marker.RebuildUnfinishedError
        self._guard = Guard(self._path)
        self._guard.look()
        self.workspace = self._workspace(rules)

    def append(self, messages: Sequence[Message]) -> list[Receipt | Refused]:
        """Keeps messages in one transaction; they are on disk when it returns."""
        return self._write(lambda: append(self._writer, self.workspace, messages))

    def preview(self, message: Message) -> Preview | Refused:
        """What a message would do; nothing is kept."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            return try_out(self._writer, self.workspace, message)
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def append_reported(self, message: Message) -> Preview | Refused:
        """Keeps a message, and says all that it changed."""
        return self._write(lambda: try_out(self._writer, self.workspace, message))

    def tidy(self) -> None:
        """What is due between two transactions: a checkpoint, and a look at who else is there.

        Raises:
            sqlite3.DatabaseError: the disk failed or is full; what was kept is kept.
        """
        self._checkpoints.run_if_due()
        self._guard.look()

    def dump(self) -> dict[str, Any]:
        """Everybody, as the derived tables have it."""
        return dump(self._writer, self.workspace)

    def reader(self) -> sqlite3.Connection:
        """A new connection for reading."""
        return open_reader(self._path)

    def close(self) -> None:
        """Checkpoints, closes, and lets the next process in.

        Not to be called once the disk failed: it would write and sync again. Then the process
        ends with everything open, and the next one recovers from the log.
        """
        self._checkpoints.close()
        self._writer.close()
        self._index.close()
        self._lock.release()

    def _write(self, work: Callable[[], Result]) -> Result:
        failpoints.at(Failpoint.BEFORE_BEGIN)
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            failpoints.at(Failpoint.AFTER_BEGIN)
            result = work()
            failpoints.at(Failpoint.BEFORE_COMMIT)
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        failpoints.at(Failpoint.AFTER_COMMIT)
        return result

    def _workspace(self, rules: Rules) -> Workspace:
        """The workspace by name. The session gap is the one that it was made with: another
        one would change the past.
        """
        self._write(
            lambda: self._writer.execute(
                "INSERT INTO workspace (name, session_gap) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (rules.workspace, rules.session_gap),
            )
        )
        found = one(
            self._writer,
            "SELECT json_array(id, name, session_gap) FROM workspace WHERE name = ?",
            rules.workspace,
        )
        workspace = Workspace(*found)
        if workspace.session_gap != rules.session_gap:
            log.warning(
                "the session gap stays at %s s, with which the directory was made; "
                "`sameas rebuild --session-gap-seconds` changes it",
                workspace.session_gap / 1_000_000,
            )
        return workspace
