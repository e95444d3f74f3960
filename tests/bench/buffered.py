"""The client's buffered `track`, in a process of its own, against `Ingest` of such messages.

`python -m tests.bench.buffered TARGET` is that process: for each line with a number
that it reads it tracks so many messages of the corpus, and prints what that took.
"""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.bench import corpus, ingest
from tests.bench.cpu import cpu_seconds
from tests.bench.results import Result, ratio
from tests.support.servers import running

from sameas import Client, v1

MESSAGES = 40_000
"""Of a round: enough that its start and its end, when only one of the two works, weigh little."""

ROUNDS = 5


class Program:
    """A program that tracks through a buffer, as a user's does."""

    def __init__(self, target: str) -> None:
        """Starts it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.buffered", target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def track(self) -> tuple[float, float]:
        """Seconds until all of a round's messages have their answers, and its CPU seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{MESSAGES}\n")
        self._process.stdin.flush()
        seconds, cpu = json.loads(self._process.stdout.readline())
        return seconds, cpu

    def close(self) -> None:
        """Ends it."""
        self._process.communicate(timeout=30)


def measure() -> list[Result]:
    """Messages a second through the buffer as a share of those by ready-made batches."""
    feed = corpus.tracks(itertools.count(1, 2))
    rounds = []
    with running() as server, _program(server.target) as program:
        for _ in range(ROUNDS + 1):
            before = cpu_seconds(server.process.pid)
            buffered = program.track()
            between = cpu_seconds(server.process.pid)
            ready = _ingested(server.target, itertools.islice(feed, MESSAGES))
            after = cpu_seconds(server.process.pid)
            rounds.append((*buffered, ready, between - before, after - between))
    # The first is for warming up.
    seconds, cpu, ready, server_cpu, ready_cpu = (
        statistics.median(column) for column in zip(*rounds[1:], strict=True)
    )
    shares = [ready / buffered for buffered, _, ready, *_ in rounds[1:]]
    return [
        ratio(
            f"buffered track against Ingest of {ingest.BATCH}", statistics.median(shares), least=0.8
        ),
        Result("buffered track", MESSAGES / seconds, "messages/s"),
        Result(f"Ingest of {ingest.BATCH}, the same messages", MESSAGES / ready, "messages/s"),
        Result("buffered track, client's CPU", cpu / MESSAGES * 1e6, "µs/message"),
        Result("buffered track, server's CPU", server_cpu / MESSAGES * 1e6, "µs/message"),
        Result(
            f"Ingest of {ingest.BATCH}, the same messages, server's CPU",
            ready_cpu / MESSAGES * 1e6,
            "µs/message",
        ),
    ]


@contextmanager
def _program(target: str) -> Iterator[Program]:
    program = Program(target)
    try:
        yield program
    finally:
        program.close()


def _ingested(target: str, calls: Iterable[dict[str, Any]]) -> float:
    """Seconds for messages made before, by the same calls."""
    items = [v1.IngestItem(track=corpus.REQUESTS.track(**call)) for call in calls]
    bodies = ingest.requests(items)
    begin = time.perf_counter()
    ingest.send(target, bodies)
    return time.perf_counter() - begin


def _serve(target: str) -> None:
    # Every other copy of the corpus: the others are sent without a buffer.
    feed = corpus.tracks(itertools.count(0, 2))
    with Client(target) as client, client.buffer() as buffer:
        for line in sys.stdin:
            calls = list(itertools.islice(feed, int(line)))
            begin, cpu = time.perf_counter(), time.process_time()
            for call in calls:
                buffer.track(**call)
            report = buffer.flush()
            taken = time.perf_counter() - begin, time.process_time() - cpu
            assert report.complete, report
            assert report.accepted == len(calls), report
            sys.stdout.write(json.dumps(taken) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
