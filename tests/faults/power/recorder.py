"""The server's file operations while clients write, from its first start to its last stop."""

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from faults.power import launcher, syscalls
from faults.power.recording import Acknowledged, Recording, ledger_of
from faults.power.steps import steps
from faults.power.workload import write
from sameas_service.store.sqlite.store import FILE
from support.servers import Server

QUIET_SECONDS = 0.2
"""How long the record stands still before a kill, so that no call is under way in it."""

END_SECONDS = 20

CALLS = 45
"""Calls of a writer in a run of the server: 1,300 messages in both."""


def record(directory: Path, seed: int, fault: str = "none", calls: int = CALLS) -> Recording:
    """Runs a server on an empty data directory twice, and has clients write to it.

    The first run makes and migrates the database and ends by kill -9, so that the second begins
    by reading the log; that one ends gracefully.

    Args:
        directory: where the record goes, and where the data directory is, or will be, as `data`.
        seed: of what the clients write.
        fault: one of the launcher's.
        calls: of each writer in each run.
    """
    server = Server(directory / "data")
    records, book = [], list[Acknowledged]()
    for run, end in enumerate((Server.kill, Server.stop)):
        records.append(directory / f"record-{run}")
        server.start(*syscalls.command(records[-1]), sys.executable, launcher.__file__, fault)
        try:
            book += write(server.target, f"r{run}", seed, calls)
            _await_quiet(records[-1])
        finally:
            end(server)
        _await_end(records[-1], server.process.pid)
    taken = steps(_lines(records), server.data)
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(taken)), (
        "the clock was set back while the server was recorded; try again"
    )
    return Recording(taken, sorted(book), ledger_of(server.data / FILE))


def _await_quiet(record: Path) -> None:
    size = -1
    while size != (size := record.stat().st_size):
        time.sleep(QUIET_SECONDS)


def _await_end(record: Path, process: int) -> None:
    deadline = time.monotonic() + END_SECONDS
    while not syscalls.is_over(record, process):
        assert time.monotonic() < deadline, f"strace did not finish {record.name}"
        time.sleep(0.01)


def _lines(records: Sequence[Path]) -> Iterator[str]:
    for path in records:
        with path.open() as lines:
            yield from lines
