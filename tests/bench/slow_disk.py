"""How long calls take on the disk at hand, and on one that needs 5 ms more for each fsync."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import corpus, h2, ingest
from tests.bench.results import Result
from tests.bench.unary import IDENTITY, PEOPLE, track
from tests.support.servers import Server

from sameas import v1

FSYNC_SECONDS = 0.005
ROUNDS = 2
TRACKS = {1: 150, 64: 2_000}
"""Calls of a round, by how many are under way."""

BATCH = 50
BATCHES = {1: 100, 64: 400}
"""Batches of a round likewise: small ones, since 64 large ones are more than a server lets wait."""

# A grandchild traces, so that the process started is the server; and with the filter in the
# kernel no call but an fsync costs more than without the tracer.
SLOW = (
    "strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync",
    "-e", f"inject=fdatasync,fsync:delay_exit={FSYNC_SECONDS * 1e6:.0f}",
)  # fmt: skip


@dataclass
class Disk:
    """A server on a disk, and the seconds of its calls: by method and how many are under way."""

    name: str
    server: Server
    tracks: dict[int, list[float]] = field(default_factory=lambda: {1: [], 64: []})
    batches: dict[int, list[float]] = field(default_factory=lambda: {1: [], 64: []})


def measure() -> list[Result]:
    """p50 and p99 of Track and of Ingest on both disks, in turn."""
    feed = iter(corpus.items(2 * ROUNDS * sum(BATCHES.values()) * BATCH))
    with _running() as fast:
        disks = [Disk("the disk at hand", fast)]
        if shutil.which("strace") is None:
            sys.stderr.write(
                "STRACE IS NOT HERE: nothing was measured on a slow disk; apt-get install strace\n"
            )
            _rounds(disks, feed)
        else:
            with _running(*SLOW) as slow:
                disks.append(Disk(f"a disk with {FSYNC_SECONDS * 1e3:g} ms more an fsync", slow))
                _rounds(disks, feed)
    return [one for disk in disks for one in _results(disk)]


@contextmanager
def _running(*prefix: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "data").start(*prefix)
        try:
            yield server
        finally:
            server.stop()


def _rounds(disks: list[Disk], feed: Iterator[v1.IngestItem]) -> None:
    for disk in disks:
        _track(disk, 64)
        disk.tracks[64].clear()
    for _ in range(ROUNDS):
        for disk in disks:
            for under_way in TRACKS:
                _track(disk, under_way)
                _ingest(disk, under_way, feed)


def _track(disk: Disk, under_way: int) -> None:
    bodies = [track(number % PEOPLE) for number in range(TRACKS[under_way])]
    connections = min(under_way, 4)
    load = h2.run(
        disk.server.target,
        f"{IDENTITY}/Track",
        bodies,
        connections=connections,
        streams=under_way // connections,
    )
    assert load.failed == 0, "calls failed"
    disk.tracks[under_way] += load.latencies


def _ingest(disk: Disk, under_way: int, feed: Iterator[v1.IngestItem]) -> None:
    items = [next(feed) for _ in range(BATCHES[under_way] * BATCH)]
    bodies = ingest.requests(items, BATCH)
    disk.batches[under_way] += ingest.send(disk.server.target, bodies, under_way)


def _results(disk: Disk) -> list[Result]:
    return [
        one
        for name, taken in (("Track", disk.tracks), (f"Ingest of {BATCH}", disk.batches))
        for under_way, seconds in taken.items()
        for one in ingest.latency_results(f"{name} on {disk.name}, {under_way} under way", seconds)
    ]
