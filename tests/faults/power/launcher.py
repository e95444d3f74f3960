"""Starts the server with a small log, so that checkpoints come often, or with a seeded fault.

`python launcher.py FAULT python -m sameas_service serve ...`: what comes behind the fault is the
command as the server is always started, so that this can be a prefix of it.
"""

import runpy
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sameas_service.store.sqlite import checkpoints, database

KIB = 1024
SIZES = {
    "CHECKPOINT_BYTES": 256 * KIB,
    "STEP_BYTES": 64 * KIB,
    "RESTART_BYTES": 512 * KIB,
    "LOG_BYTES_MAX": 1024 * KIB,
}
"""What the log's lengths are here: a 64th of what they are, so a checkpoint every 100 messages."""


def none() -> None:
    """No fault."""


def normal() -> None:
    """Commits are left to the page cache; only checkpoints are synced."""
    _synchronous("NORMAL")


def off() -> None:
    """Nothing is ever synced."""
    _synchronous("OFF")


def _synchronous(how: str) -> None:
    open_writer = database.open_writer

    def open_careless(path: Path) -> sqlite3.Connection:
        opened = open_writer(path)
        opened.execute(f"PRAGMA synchronous = {how}")
        return opened

    database.open_writer = open_careless


def split() -> None:
    """A group is not one transaction, but one for each message."""
    append = database.Database.append

    def append_each(store: database.Database, messages: Any) -> Any:
        return [answer for message in messages for answer in append(store, [message])]

    database.Database.append = append_each


def early() -> None:
    """A group is answered before it is committed, which the next group does for it."""
    close = database.Database.close

    def tidy(store: database.Database) -> None:
        """No checkpoint: a transaction is open."""

    def commit(store: database.Database) -> None:
        if store._writer.in_transaction:
            store._writer.execute("COMMIT")

    def append_early(store: database.Database, messages: Any) -> Any:
        commit(store)
        store._writer.execute("BEGIN IMMEDIATE")
        return database.append(store._writer, store.workspace, messages)

    def close_late(store: database.Database) -> None:
        commit(store)
        close(store)

    database.Database.append = append_early
    database.Database.close = close_late
    database.Database.tidy = tidy


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (none, normal, off, split, early)
}


def main() -> None:
    """Breaks what is to be broken, then runs the server as its command would."""
    fault, _, _, module, *arguments = sys.argv[1:]
    for name, size in SIZES.items():
        assert isinstance(getattr(checkpoints, name), int)
        setattr(checkpoints, name, size)
    FAULTS[fault]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
