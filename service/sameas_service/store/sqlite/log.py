"""How long the write-ahead log is, read from its file.

SQLite tells that only to who checkpoints, and the file's size is that of the longest log so
far: SQLite begins it again from its start and leaves the rest. The -wal file bears no locks,
so that it can be opened here: of the database and the -shm file any other handle that this
process closed would drop SQLite's own locks.
"""

import os
import struct
from pathlib import Path

_PAGE_SIZE_AT = 8
_SALTS_AT, _SALTS = 16, 8
"""In the file's header: two numbers that are others each time the log begins again."""

_HEADER, _FRAME_HEADER = 32, 24
_SALTS_IN_FRAME_AT = 8
"""Each frame, a page and its header, repeats the numbers of the log that it is of."""


class Log:
    """The -wal file of a database that this process has open."""

    def __init__(self, database: Path) -> None:
        """Opens it; a connection has brought it into being."""
        self._file = os.open(f"{database}-wal", os.O_RDONLY | os.O_CLOEXEC)

    def generation(self) -> bytes:
        """What is another each time that the log begins again; empty where it never has."""
        return os.pread(self._file, _SALTS, _SALTS_AT)

    def reaches(self, size: int) -> bool:
        """Whether the log is at least so many bytes long, to a page.

        It reads two places, whatever the size: the log is always the file's beginning.
        """
        header = os.pread(self._file, _HEADER, 0)
        if len(header) < _HEADER:
            return False
        salts = header[_SALTS_AT : _SALTS_AT + _SALTS]
        frame = _FRAME_HEADER + struct.unpack_from(">I", header, _PAGE_SIZE_AT)[0]
        at = _HEADER + max(size - _HEADER - frame, 0) // frame * frame
        return os.pread(self._file, _SALTS, at + _SALTS_IN_FRAME_AT) == salts

    def close(self) -> None:
        """Closes the handle."""
        os.close(self._file)
