"""When the log is copied back into the database, and how long it may become.

The one connection that writes also checkpoints, between two groups, when the first one's
answers are out: no acknowledgement waits for it, and no other connection ever does either.
"""

import logging
import sqlite3
import time
from pathlib import Path

from sameas_service.store.sqlite import failpoints
from sameas_service.store.sqlite.connection import BUSY_MILLISECONDS
from sameas_service.store.sqlite.failpoints import Failpoint
from sameas_service.store.sqlite.log import Log

log = logging.getLogger(__name__)

MIB = 1024 * 1024

CHECKPOINT_BYTES = 16 * MIB
"""From this length on the log is copied back. Pages that change again and again are copied
once a checkpoint, so fewer of them are cheaper."""

STEP_BYTES = 4 * MIB
"""And again each time that it grew so much further, which it does while readers need it."""

RESTART_BYTES = 32 * MIB
"""From this length on the writer waits for readers of older commits, so that the log can begin
again. Those who begin meanwhile are no hindrance, and wait for nothing."""

LOG_BYTES_MAX = 64 * MIB
"""What the log stays below, but for the group that reaches it, as long as nobody reads one and
the same snapshot for seconds; none of the server's reads does, nor does an export."""

PATIENCE_SECONDS = 2.0
"""How long the writer waits at a time, behind each group or each step, until the log is
`LOG_BYTES_MAX` long."""

RESPITE_SECONDS = 10.0
"""How long it then does not wait beyond that length: the reader is a program that does not
end, and what it costs the callers must stay small."""


class Checkpoints:
    """The checkpoints of the writing connection, which makes none by itself any more."""

    def __init__(self, writer: sqlite3.Connection, database: Path) -> None:
        self._writer = writer
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        (self._page_bytes,) = writer.execute("PRAGMA page_size").fetchone()
        self._catch_up()
        self._log = Log(database)
        self._generation = b""
        self._due = CHECKPOINT_BYTES
        self._impatient_until = float("-inf")

    def run_if_due(self) -> None:
        """Checkpoints, if the log is long enough for it; to be called outside a transaction.

        Raises:
            sqlite3.DatabaseError: the disk failed or is full. The log has everything still.
        """
        generation = self._log.generation()
        if generation != self._generation:
            self._generation, self._due = generation, CHECKPOINT_BYTES
        if self._log.reaches(self._due):
            reached, self._due = self._due, self._due + STEP_BYTES
            length = self._run(reached)
            self._due = max(self._due, length + STEP_BYTES)

    def close(self) -> None:
        """Lets go of the log's file."""
        self._log.close()

    def _catch_up(self) -> None:
        """Copies back the log that an earlier process left, and empties it.

        That one may have been killed before its last fsync, or seen it fail. What was read of
        the log may then stand in the kernel's cache alone, where a repeated message would be
        found and called kept. Copied and synced afresh it is on disk before anybody is told.
        """
        self._wait_and_checkpoint("TRUNCATE")

    def _run(self, reached: int) -> int:
        """One checkpoint; how long the log was."""
        failpoints.at(Failpoint.CHECKPOINT_BEGIN)
        if reached < RESTART_BYTES or time.monotonic() < self._impatient_until:
            _, pages, _ = self._checkpoint("PASSIVE")
        else:
            pages = self._restart()
        failpoints.at(Failpoint.CHECKPOINT_END)
        return int(pages * self._page_bytes)

    def _restart(self) -> int:
        """Has the log begin again once its readers are through; how many pages it has."""
        is_busy, pages, _ = self._wait_and_checkpoint("RESTART")
        length = pages * self._page_bytes
        if is_busy and length >= LOG_BYTES_MAX:
            self._impatient_until = time.monotonic() + RESPITE_SECONDS
            log.warning(
                "the log has grown to %d MiB, since a program reads one snapshot of the database "
                "for long; it grows until that ends",
                length // MIB,
            )
        return int(pages)

    def _wait_and_checkpoint(self, mode: str) -> tuple[int, int, int]:
        """A checkpoint that waits for readers, but no longer than is bearable."""
        self._writer.execute(f"PRAGMA busy_timeout = {int(PATIENCE_SECONDS * 1_000)}")
        try:
            return self._checkpoint(mode)
        finally:
            self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    def _checkpoint(self, mode: str) -> tuple[int, int, int]:
        """Whether readers hindered it, how many pages the log has, how many are copied back."""
        row: tuple[int, int, int] = self._writer.execute(
            f"PRAGMA wal_checkpoint({mode})"
        ).fetchone()
        return row
