"""The write-ahead log (WAL): when it is copied back, how long it may become, and its files.

The one connection that writes also checkpoints, between two groups, when the first one's
answers are out: no acknowledgement waits for it, and no other connection ever does either.
"""

import errno
import logging
import os
import sqlite3
import struct
import time
from contextlib import ExitStack
from pathlib import Path

from sameas_service.store import failpoints
from sameas_service.store.failpoints import Failpoint
from sameas_service.store.sqlite.connection import BUSY_MILLISECONDS

log = logging.getLogger(__name__)

MIB = 1024 * 1024

CHECKPOINT_BYTES = 16 * MIB
"""From this length on the WAL is copied back. Pages that change again and again are copied
once a checkpoint, so fewer of them are cheaper."""

STEP_BYTES = 4 * MIB
"""And again each time that it grew so much further, which it does while readers need it."""

RESTART_BYTES = 32 * MIB
"""From this length on the writer waits for readers of older commits, so that the WAL can begin
again. Those who begin meanwhile are no hindrance, and wait for nothing."""

LOG_BYTES_MAX = 64 * MIB
"""What the WAL stays below, but for the group that reaches it, as long as no reader holds one
and the same snapshot for seconds; none of the server's reads does, nor does an export."""

PATIENCE_SECONDS = 2.0
"""How long the writer waits at a time, after each group or each step, until the WAL is
`LOG_BYTES_MAX` long."""

RESPITE_SECONDS = 10.0
"""How long it then does not wait beyond that length: the reader is a program that does not
end, and what it costs the callers must stay small."""

SHM_BYTES = 256 * 1024
"""Enough of the -shm file for a WAL of 128 MiB."""


class Checkpoints:
    """The checkpoints of the writing connection, which makes none by itself any more."""

    def __init__(self, writer: sqlite3.Connection, database: Path) -> None:
        """Copy back what an earlier process left, and watch the WAL from then on."""
        self._writer = writer
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        (self._page_bytes,) = writer.execute("PRAGMA page_size").fetchone()
        self._catch_up()
        with ExitStack() as undo:
            self._wal = WalFile(database)
            undo.callback(self._wal.close)
            self._shm = _reserve_shm(database)
            undo.pop_all()
        self._generation = b""
        self._due = CHECKPOINT_BYTES
        self._impatient_until = float("-inf")

    def run_if_due(self) -> None:
        """Checkpoint, if the WAL is long enough for it; to be called outside a transaction.

        Raises:
            sqlite3.DatabaseError: the disk failed or is full. The WAL has everything still.
        """
        generation = self._wal.generation()
        if generation != self._generation:
            self._generation, self._due = generation, CHECKPOINT_BYTES
        if self._wal.reaches(self._due):
            reached, self._due = self._due, self._due + STEP_BYTES
            length = self._run(reached)
            self._due = max(self._due, length + STEP_BYTES)

    def close(self) -> None:
        """Close the handle on the WAL."""
        self._wal.close()

    def close_shm(self) -> None:
        """Close the handle on the -shm file, after the database's connections are closed."""
        os.close(self._shm)

    def _catch_up(self) -> None:
        """Copy back the WAL that an earlier process left, and empty it.

        That one may have been killed before its last fsync, or seen it fail. What was read of
        the WAL may then be in the kernel's cache alone, where a repeated message would be
        found and called kept. Copied and synced afresh it is on disk before anybody is told.
        """
        self._wait_and_checkpoint("TRUNCATE")

    def _run(self, reached: int) -> int:
        """Make one checkpoint. Return how long the WAL was."""
        failpoints.at(Failpoint.CHECKPOINT_BEGIN)
        if reached < RESTART_BYTES or time.monotonic() < self._impatient_until:
            _, pages, _ = self._checkpoint("PASSIVE")
        else:
            pages = self._restart()
        failpoints.at(Failpoint.CHECKPOINT_END)
        return int(pages * self._page_bytes)

    def _restart(self) -> int:
        """Run `wal_checkpoint(RESTART)`. Return the WAL's length in pages."""
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
        """Checkpoint, waiting for readers, but no longer than is bearable."""
        self._writer.execute(f"PRAGMA busy_timeout = {int(PATIENCE_SECONDS * 1_000)}")
        try:
            return self._checkpoint(mode)
        finally:
            self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    def _checkpoint(self, mode: str) -> tuple[int, int, int]:
        """Return whether readers were in the way, the WAL's pages, and those copied back."""
        row: tuple[int, int, int] = self._writer.execute(
            f"PRAGMA wal_checkpoint({mode})"
        ).fetchone()
        return row


_PAGE_SIZE_AT = 8
_SALTS_AT, _SALTS = 16, 8
"""In the file's header: two numbers that are others each time the WAL begins again."""

_HEADER, _FRAME_HEADER = 32, 24
_SALTS_IN_FRAME_AT = 8
"""Each frame, a page and its header, repeats the numbers of the WAL that it is of."""


class WalFile:
    """How long the WAL is, read from the -wal file of a database that this process has open.

    SQLite tells that only to who checkpoints, and the file's size is that of the longest WAL so
    far: SQLite begins it again from its start and leaves the rest. The -wal file bears no locks,
    so that it can be opened here: of the database and the -shm file any other handle that this
    process closed would drop SQLite's own locks.
    """

    def __init__(self, database: Path) -> None:
        """Open it; a connection has made it."""
        self._file = os.open(f"{database}-wal", os.O_RDONLY | os.O_CLOEXEC)

    def generation(self) -> bytes:
        """Return what is another each time that the WAL begins again; empty before the first."""
        return os.pread(self._file, _SALTS, _SALTS_AT)

    def reaches(self, size: int) -> bool:
        """Return whether the WAL is at least so many bytes long, to a page.

        It reads two places, whatever the size: the WAL is always the file's beginning.
        """
        header = os.pread(self._file, _HEADER, 0)
        if len(header) < _HEADER:
            return False
        salts = header[_SALTS_AT : _SALTS_AT + _SALTS]
        frame = _FRAME_HEADER + struct.unpack_from(">I", header, _PAGE_SIZE_AT)[0]
        at = _HEADER + max(size - _HEADER - frame, 0) // frame * frame
        return os.pread(self._file, _SALTS, at + _SALTS_IN_FRAME_AT) == salts

    def close(self) -> None:
        """Close the handle."""
        os.close(self._file)


def _reserve_shm(database: Path) -> int:
    """Take room for the WAL's index (the -shm file) before it is needed. Return the handle.

    The index grows by 32 KiB for each 4,096 pages of the WAL, after the fsync of a commit. Where
    that finds no room SQLite answers with an I/O error (SQLITE_IOERR_SHMSIZE), and whether the
    commit outlives the process is unknown: a disk that is merely full would end the server.
    The handle is kept: closing any drops the locks that SQLite's own handle has on the file.
    """
    file = os.open(f"{database}-shm", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(file, 0, SHM_BYTES)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            os.close(file)
            raise
        log.warning("the disk is full: once the log grows, the server may end and need room")
    return file
