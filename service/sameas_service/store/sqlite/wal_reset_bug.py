"""SQLite's version, and who else has the database open: together they can lose commits.

SQLite 3.7.0 to 3.51.2 has the WAL-reset bug (https://sqlite.org/wal.html): where two
connections write or checkpoint at the same instant, a commit can be lost without a word. This
process has one connection that does either, so it is safe by itself; another program that
opens the database, a shell or a replicator, makes two.
"""

import logging
import os
import sqlite3
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often the server looks who else has the database open, at most."""

_LOCKS = Path("/proc/locks")

Version = tuple[int, int, int]

_FIRST: Version = (3, 7, 0)
_FIXED: Version = (3, 51, 3)
_BACKPORTS: tuple[Version, ...] = ((3, 44, 6), (3, 50, 7))

_READERS = {"export", "export-ids"}
"""Our own commands that read beside a server: they neither write nor checkpoint there."""


def is_vulnerable(version: Version) -> bool:
    """Return whether a version of SQLite has the WAL-reset bug."""
    backported = any(version[:2] == fixed[:2] and version >= fixed for fixed in _BACKPORTS)
    return _FIRST <= version < _FIXED and not backported


def described() -> str:
    """Return the engine's version, with what is to be known about it, for the log."""
    if not is_vulnerable(sqlite3.sqlite_version_info):
        return f"SQLite {sqlite3.sqlite_version}"
    return (
        f"SQLite {sqlite3.sqlite_version} (with the WAL-reset bug, which only another program "
        "that writes to the database could wake)"
    )


class Guard:
    """A watch over who else has the database open, where the engine is vulnerable."""

    def __init__(self, database: Path, version: Version = sqlite3.sqlite_version_info) -> None:
        self._files = [database, Path(f"{database}-shm")]
        self._is_needed = is_vulnerable(version)
        self._warned: set[int] = set()

    def look(self) -> None:
        """Look who has it open. Warn once of each process."""
        if not self._is_needed:
            return
        new = [p for p in holders(self._files) if p not in self._warned and not _is_reader(p)]
        self._warned.update(new)
        if new:
            log.warning(
                "SQLite %s can lose commits where another program writes or checkpoints beside "
                "the server (the WAL-reset bug), and the database is open in %s: end it, or run "
                "the server on SQLite 3.51.3 or later (3.50.7, 3.44.6); to read, use "
                "`sameas export`",
                sqlite3.sqlite_version,
                ", ".join(f"process {process} ({_name(process)})" for process in new),
            )


def holders(files: list[Path]) -> list[int]:
    """Return the other processes that hold a lock on one of the files: all that have it open as
    a database do, all the time.

    On Linux alone, and only in the same process-id namespace: those of another container are
    not seen.
    """
    wanted = {_inode(file) for file in files if file.exists()}
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return []
    # As in `1: POSIX  ADVISORY  READ 4242 fd:00:131 128 128`; for one that waits, the second
    # word is `->`.
    rows = [line.replace("->", "").split() for line in lines]
    found = {int(row[4]) for row in rows if row[5] in wanted}
    return sorted(process for process in found if process > 0 and process != os.getpid())


def _inode(file: Path) -> str:
    """Return a file as `/proc/locks` names it."""
    stat = file.stat()
    return f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"


def _is_reader(process: int) -> bool:
    """Return whether a process is a command of ours that only reads."""
    words = [os.path.basename(word) for word in _command(process)]  # noqa: PTH119 - no path
    return bool(_READERS & set(words)) and any(word.startswith("sameas") for word in words)


def _name(process: int) -> str:
    return " ".join(_command(process))[:80] or "ended"


def _command(process: int) -> list[str]:
    """Return the command line of a process; empty where it has ended."""
    try:
        text = Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    except OSError:
        return []
    return [word for word in text.split("\0") if word]
