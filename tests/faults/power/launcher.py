"""Starts the server with a small log, so that checkpoints come often, or with a seeded fault.

`python launcher.py FAULT python -m sameas_service serve ...`: what comes behind the fault is the
command as the server is always started, so that this can be a prefix of it.
"""

import runpy
import sqlite3
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sameas_service.resolver.resolver import Resolver
from sameas_service.resolver.write.group import append
from sameas_service.store.sqlite import store, wal
from sameas_service.store.sqlite.store import SqliteStore
from sameas_service.store.sqlite.writes import SqliteWriteTransaction

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
    open_writer = store.open_writer

    def open_careless(path: Path) -> sqlite3.Connection:
        opened = open_writer(path)
        opened.execute(f"PRAGMA synchronous = {how}")
        return opened

    store.open_writer = open_careless


def split() -> None:
    """A group is not one transaction, but one for each message."""

    def append_each(self: Resolver, batches: Sequence[Any]) -> Any:
        return [
            [
                answer
                for message in messages
                for answer in self._store.write(
                    partial(append, workspace=workspace, messages=[message])
                )
            ]
            for workspace, messages in batches
        ]

    Resolver._append = append_each


def early() -> None:
    """A group is answered before it is committed, which the next group does for it."""
    close = SqliteStore.close

    def between_writes(self: SqliteStore) -> None:
        """No checkpoint: a transaction is open."""

    def commit(self: SqliteStore) -> None:
        if self._writer.in_transaction:
            self._writer.execute("COMMIT")

    def write_early(self: SqliteStore, work: Callable[[Any], Any], *, keep: bool = True) -> Any:
        assert keep, "the workload has no previews"
        commit(self)
        self._writer.execute("BEGIN IMMEDIATE")
        return work(SqliteWriteTransaction(self._writer))

    def close_late(self: SqliteStore) -> None:
        commit(self)
        close(self)

    SqliteStore.write = write_early
    SqliteStore.close = close_late
    SqliteStore.between_writes = between_writes


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (none, normal, off, split, early)
}


def main() -> None:
    """Breaks what is to be broken, then runs the server as its command would."""
    fault, _, _, module, *arguments = sys.argv[1:]
    for name, size in SIZES.items():
        assert isinstance(getattr(wal, name), int)
        setattr(wal, name, size)
    FAULTS[fault]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
