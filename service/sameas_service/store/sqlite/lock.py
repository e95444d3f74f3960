"""One process a data directory."""

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from sameas_service.resolver.failures import StoreInUse


class DirectoryLock:
    """An exclusive lock on a data directory, held until it is released or the process ends.

    It is an flock on a file of its own: SQLite's own locks would be dropped by any other
    handle on the database that this process closes.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock, making the directory (for its owner alone) where it is missing.

        Raises:
            StoreInUse: another process holds it.
        """
        _make(directory, mode=0o700)
        with ExitStack() as undo:
            self._file: IO[str] = undo.enter_context((directory / "sameas.lock").open("a+"))
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreInUse(
                    f"the data directory {directory} is in use by another sameas process"
                    f"{self._holder()}; stop that one first, or give this one another directory"
                ) from error
            with suppress(OSError):  # The id is a courtesy; a full disk has no room for it.
                self._file.truncate(0)
                os.write(self._file.fileno(), str(os.getpid()).encode())  # no buffer to fail later
            undo.pop_all()

    def release(self) -> None:
        """Let the next process in."""
        self._file.close()

    def _holder(self) -> str:
        self._file.seek(0)
        text = self._file.read().strip()
        return f" (process {text})" if text else ""


def _make(directory: Path, mode: int = 0o777) -> None:
    """Make a directory and those above it, for good: a name is on disk only once the directory
    that holds it is synced, and a power cut could take the whole database with it.
    """
    if directory.is_dir():
        return
    _make(directory.parent)
    directory.mkdir(mode=mode, exist_ok=True)
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
