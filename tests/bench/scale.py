"""What a large store costs against an empty one: throughput, bytes, start and memory."""

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.bench import filling
from tests.bench.cpu import cpu_seconds
from tests.bench.filling import MESSAGES, ROUND_MESSAGES, Traffic
from tests.bench.ingest import BATCH, send
from tests.bench.plain import Plain, Row
from tests.bench.results import Result, ratio
from tests.support.servers import Server, running

from sameas import v1
from sameas_service.domain.message import Message
from sameas_service.store.sqlite.store import FILE

ROUNDS = 5
WARM_MESSAGES = 1_000
UNDER_WAY = 2
"""Batches on their way at once; of more, a large store on a busy machine refuses some."""

STARTS = 5
PERSONS_AT_ONCE = 1_000
READS = 100
SIZE = f"{MESSAGES:,} messages"


@dataclass
class Round:
    """What one message cost: seconds by the wall clock, seconds of the server's CPU, and bytes
    that it wrote to its files.
    """

    seconds: float
    cpu: float
    written: float


def measure() -> list[Result]:
    """Each part on a fresh copy of one filled store, so that their order makes no difference."""
    with filling.filled() as original, tempfile.TemporaryDirectory() as directory:
        copy = partial(filling.copied, original, Path(directory) / "data")
        random_ids, rows = _throughput(copy(), ordered_ids=False)
        ordered_ids, _ = _throughput(copy(), ordered_ids=True)
        plain = _plain(copy(), rows)
        return [*random_ids, *ordered_ids, *plain, *_starts(copy()), *_memory(copy())]


# ---- Throughput ---------------------------------------------------------------------------


def _throughput(full: Path, *, ordered_ids: bool) -> tuple[list[Result], list[list[Row]]]:
    """Rounds of the same batches into the full store and into one made for the round, in turn.

    Returns:
        The figures, and the rows of each round as the full store kept them.
    """
    traffic = Traffic(2, behind=MESSAGES, ordered_ids=ordered_ids)
    pairs, rows = [], []
    with serving(full) as server:
        ingest_round(server, traffic.take(ROUND_MESSAGES))  # to warm up
        for _ in range(ROUNDS):
            messages = traffic.take(ROUND_MESSAGES)
            behind = last(full)
            large = ingest_round(server, messages)
            rows.append(_rows(full, behind))
            pairs.append((large, empty_round(traffic.take(WARM_MESSAGES), messages)))
    return _results("time-ordered ids" if ordered_ids else "random ids", pairs), rows


def empty_round(warm: Sequence[Message], messages: Sequence[Message]) -> Round:
    """A round on an empty store; the server's code is warmed up by a few messages first."""
    with running() as server:
        ingest_round(server, warm)
        return ingest_round(server, messages)


def ingest_round(server: Server, messages: Sequence[Message]) -> Round:
    """Sends messages in batches, several under way, and sees to it that all were kept."""
    bodies = filling.requests(messages, BATCH)
    behind, pid = last(server.data), server.process.pid
    cpu, written = cpu_seconds(pid), _written(pid)
    begin = time.perf_counter()
    send(server.target, bodies, UNDER_WAY)
    seconds = time.perf_counter() - begin
    assert last(server.data) - behind == len(messages), "not all were kept"
    totals = (seconds, cpu_seconds(pid) - cpu, _written(pid) - written)
    return Round(*(total / len(messages) for total in totals))


def _results(ids: str, pairs: Sequence[tuple[Round, Round]]) -> list[Result]:
    def compared(what: Callable[[Round], float]) -> float:
        return statistics.median(what(large) / what(empty) for large, empty in pairs)

    def each(name: str, unit: str, what: Callable[[Round], float]) -> list[Result]:
        return [
            Result(f"{name}, {ids}, {size}", statistics.median(map(what, rounds)), unit)
            for size, rounds in zip((SIZE, "empty"), zip(*pairs, strict=True), strict=True)
        ]

    return [
        ratio(
            f"Ingest with {SIZE} against an empty store, {ids}",
            1 / compared(lambda one: one.seconds),
            least=None if ids.startswith("time") else 0.7,
        ),
        ratio(f"the same, CPU a message, {ids}", compared(lambda one: one.cpu)),
        *each("Ingest", "messages/s", lambda one: 1 / one.seconds),
        *each("CPU", "µs/message", lambda one: one.cpu * 1e6),
        *each("written", "bytes/message", lambda one: one.written),
    ]


def _plain(full: Path, rounds: Sequence[Sequence[Row]]) -> list[Result]:
    """The rounds' rows by plain sqlite3 into a copy of the same store, and into an empty one."""
    pairs = []
    with closing(Plain(full / FILE, BATCH)) as large:
        for rows in rounds:
            large.insert(rows)
            pairs.append((large.seconds, large.cpu, *_plain_empty(rows)))
    shares = [empty / seconds for seconds, _, empty, _ in pairs]
    cpu = [cpu / empty for _, cpu, _, empty in pairs]
    rate = len(rounds[0]) / statistics.median(seconds for seconds, *_ in pairs)
    return [
        ratio(f"plain sqlite3 with {SIZE} against an empty one", statistics.median(shares)),
        ratio("the same, CPU a row", statistics.median(cpu)),
        Result(f"plain sqlite3, {SIZE}", rate, "messages/s"),
    ]


def _plain_empty(rows: Sequence[Row]) -> tuple[float, float]:
    """Seconds of plain sqlite3 for the rows as its first, and seconds of CPU."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(Plain(Path(directory) / FILE, BATCH)) as empty,
    ):
        empty.insert(rows)
        return empty.seconds, empty.cpu


# ---- Start --------------------------------------------------------------------------------


def _starts(full: Path) -> list[Result]:
    """Seconds from the start of the process to SERVING, in turn; the files are in the cache of
    the operating system.
    """
    with tempfile.TemporaryDirectory() as directory:
        empty = Path(directory) / "data"
        _start(empty)  # makes it
        _start(full)
        pairs = [(_start(full), _start(empty)) for _ in range(STARTS)]
    seconds = statistics.median(large for large, _ in pairs)
    return [
        ratio(
            f"start to SERVING with {SIZE} against none",
            statistics.median(large / small for large, small in pairs),
            most=2,
        ),
        Result(f"start to SERVING with {SIZE}", seconds, "s", "<= 1", seconds <= 1),
    ]


def _start(data: Path) -> float:
    begin = time.perf_counter()
    with serving(data) as server, grpc.insecure_channel(server.target) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=20
        )
        seconds = time.perf_counter() - begin
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    return seconds


# ---- Memory -------------------------------------------------------------------------------


def _memory(full: Path) -> list[Result]:
    """MiB of the server's memory, after it wrote and read at random all over the store."""
    with serving(full) as server:
        ingest_round(server, Traffic(3, behind=MESSAGES).take(2 * ROUND_MESSAGES))
        _read(server.target)
        found = [_kib(server, name) / 1024 for name in ("VmRSS", "VmHWM")]
    what = f"memory with {filling.DEVICES:,} persons"
    return [
        Result(name, mib, "MiB", "<= 200", mib <= 200)
        for name, mib in zip((what, f"{what}, at its peak"), found, strict=True)
    ]


def _read(target: str) -> None:
    """Persons, timelines, the past and explanations: each has a connection with a cache."""
    chance = random.Random(4)
    with grpc.insecure_channel(target) as channel:
        person = v1.PersonServiceStub(channel)
        for _ in range(READS):
            keys = [_key(chance) for _ in range(PERSONS_AT_ONCE)]
            person.BatchGetPersons(v1.BatchGetPersonsRequest(keys=keys))
            now = Timestamp(seconds=int(time.time()))
            for key in keys[:20]:
                person.ListMessages(v1.ListMessagesRequest(key=key))
                person.GetPerson(v1.GetPersonRequest(key=key, as_of=now))


def _key(chance: random.Random) -> v1.PersonKey:
    """Somebody whom the store knows, in all likelihood: `BatchGetPersons` takes both."""
    return v1.PersonKey(anonymous_id=filling.device_name(chance.randrange(filling.DEVICES)))


# ---- A server and its files ---------------------------------------------------------------


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """A server on this directory, stopped at the end."""
    server = Server(data).start()
    try:
        yield server
    finally:
        server.stop()


def last(data: Path) -> int:
    """The number of the ledger's last row."""
    return int(_read_rows(data, "SELECT ifnull(max(seq), 0) FROM message")[0][0])


def _rows(data: Path, behind: int) -> list[Row]:
    return _read_rows(data, f"SELECT * FROM message WHERE seq > {behind} ORDER BY seq")


def _read_rows(data: Path, sql: str) -> list[Row]:
    with closing(sqlite3.connect(f"file:{data / FILE}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def _written(pid: int) -> int:
    """Bytes that a process wrote by calls, to whatever (Linux)."""
    return _number(Path(f"/proc/{pid}/io"), "wchar")


def _kib(server: Server, name: str) -> int:
    return _number(Path(f"/proc/{server.process.pid}/status"), name)


def _number(file: Path, name: str) -> int:
    """A number of a file of /proc."""
    lines = dict(line.split(":", 1) for line in file.read_text().splitlines())
    return int(lines[name].split()[0])
