"""Servers that run with a fault of the disk, each on a copy of a data directory."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from support.books import Book, Calls, calls_of, contradictions, is_serving
from support.faults import EXIT_SECONDS, SEED, Call, Fault, FaultyServer, chosen, ended
from support.servers import Server

POINTS = int(os.environ.get("SAMEAS_TEST_POINTS") or 48)
"""How many points of failure are tried in all, more or less."""

SHARES = 12
"""Into how many equal shares the tests divide the points."""

AT_ONCE = 3
CALLS = 40
CALLS_BEFORE = 15


class Origin(NamedTuple):
    """A data directory that servers start from, each on a copy.

    Attributes:
        data: the directory; absent for a first start.
        acknowledged: ids of the messages in it.
    """

    data: Path
    acknowledged: set[str]


class Trial(NamedTuple):
    """A server that ran with a fault, and ended.

    Attributes:
        fault: what was done to it.
        book: how it answered.
        has_started: whether it got as far as to listen.
        is_serving: what its health said behind the last call; None where it had ended.
        exit_code: its own; negative for a signal.
        ended_at: when, in seconds since 1970.
        calls: its system calls up to its end or to SIGTERM.
        log: what it printed.
        data: what it left behind.
    """

    fault: Fault
    book: Book
    has_started: bool
    is_serving: bool | None
    exit_code: int
    ended_at: float
    calls: list[Call]
    log: str
    data: Path

    @property
    def first_hit(self) -> int | None:
        """The index of the first call that failed before SIGTERM."""
        return next((i for i, call in enumerate(self.calls) if call.is_injected), None)

    @property
    def was_hit(self) -> bool:
        """Whether the fault came before SIGTERM."""
        return self.first_hit is not None or self.exit_code == -signal.SIGKILL


def prepared(directory: Path, end: Callable[[Server], object]) -> Origin:
    """A directory with messages in it, whose server was ended so."""
    server = Server(directory / "data").start()
    book = Book()
    book.write(server.target, calls_of("before", random.Random(SEED), CALLS_BEFORE))
    end(server)
    assert book.wrong == []
    assert not book.unknown
    return Origin(server.data, book.acknowledged)


def tried(directory: Path, origin: Origin, fault: Fault, calls: Calls) -> Trial:
    """Runs a server with a fault on a copy of a directory."""
    data = directory / "data"
    data.parent.mkdir()
    if origin.data.exists():
        shutil.copytree(origin.data, data)
    server, book = FaultyServer(data, fault), Book()
    with ended(server):
        has_started = server.started()
        health = _written(server, book, calls) if has_started else None
        exit_code = server.stop()
        ended_at = time.time()
    return Trial(fault, book, has_started, health, exit_code, ended_at, server.calls(),
                 server.log(), data)  # fmt: skip


def _written(server: FaultyServer, book: Book, calls: Calls) -> bool | None:
    """Makes the calls, and those again that a full disk refused; the health behind them."""
    book.write(server.target, calls)
    if not book.unknown and server.fault_stays:
        book.write(server.target, book.refused[:1])
    elif not book.unknown:
        book.write_again(server.target)
    if book.unknown or server.must_end():
        try:
            server.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            book.wrong.append("the server goes on with a disk that failed")
        return None
    return is_serving(server.target)


def trials(
    directory: Path, origin: Origin, faults: list[Fault], calls: Callable[[], Calls] | None = None
) -> list[Trial]:
    """All of them, some at a time; none of them lost, doubled or invented anything."""

    def one(numbered: tuple[int, Fault]) -> Trial:
        number, fault = numbered
        script = calls() if calls else calls_of("m", random.Random(f"{SEED} {fault}"), CALLS)
        return tried(directory / str(number), origin, fault, script)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(one, enumerate(faults)))
    # Not while others start servers: a process that is being made holds a copy of each lock.
    for trial in done:
        wrong = [*trial.book.wrong, *contradictions(trial.data, origin.acknowledged, trial.book)]
        assert wrong == [], f"seed {SEED}, {trial.fault}: {wrong}\n{trial.log[-3_000:]}"
        shutil.rmtree(trial.data.parent)
    # For who reads with -s.
    hits = sum(trial.was_hit for trial in done)
    print(f"\n{len(done)} points, {hits} hit before the end")  # noqa: T201
    return done


def points(name: str, below: int, shares: float = 1) -> list[int]:
    """A share of the points: numbers of calls to hit."""
    return chosen(name, below, max(1, round(POINTS * shares / SHARES)))
