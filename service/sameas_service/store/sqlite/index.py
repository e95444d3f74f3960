"""Room for the log's index (the -shm file), taken before it is needed.

The index grows by 32 KiB for each 4,096 pages of the log, behind the fsync of a commit. Where
that finds no room SQLite answers with an I/O error (SQLITE_IOERR_SHMSIZE), and whether the
commit outlives the process is unknown: a disk that is merely full would end the server.
"""

import errno
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

INDEX_BYTES = 256 * 1024
"""Enough for a log of 128 MiB."""


class Index:
    """The -shm file of a database that this process has open, and will close before this."""

    def __init__(self, database: Path) -> None:
        """Takes the room, where there is some.

        The handle is kept: closing any drops the locks that SQLite's own handle has on the file.
        """
        self._file = os.open(f"{database}-shm", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(self._file, 0, INDEX_BYTES)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            log.warning("the disk is full: once the log grows, the server may end and need room")

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._file)
