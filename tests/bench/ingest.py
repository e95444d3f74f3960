"""Batches of 500 against plain sqlite3 that inserts the same rows, with the same durability."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import grpc
from tests.bench import corpus, h2
from tests.bench.cpu import cpu_seconds
from tests.bench.plain import Ledger, Plain
from tests.bench.results import Result, ratio
from tests.support.servers import Server, running

from sameas import v1
from sameas._channel import channel_options

BATCH = 500
MESSAGES = 15_000
ROUNDS = 7
UNDER_WAY = 8
"""Batches on their way at once: what a stream lets wait, and about what a client's buffer under
load keeps on its way (two senders with 2,500 messages each)."""

GROUP = 2_500
"""Messages of the server's largest transaction; plain inserts of so many are told of, too."""

RATE_LEAST = 17_000

Send = Callable[[str, Sequence[bytes]], list[float]]
"""Sends ready-made batches to a target, a few under way; each one's seconds until its answer."""


@dataclass
class Round:
    """What one round took: seconds by the wall clock and of CPU, all for the same messages."""

    seconds: float
    server_cpu: float
    client_cpu: float
    latencies: list[float]
    plain: float
    plain_cpu: float
    plain_grouped: float


def measure() -> list[Result]:
    """Throughput of Ingest, durable and with identities resolved, as a share of plain rows."""
    return compare(f"Ingest of {BATCH}", send, requests)


def requests(items: Sequence[v1.IngestItem], size: int = BATCH) -> list[bytes]:
    """The items as live batches, with the present time as `sent_at`, as the client gives it."""
    bodies = []
    for at in range(0, len(items), size):
        batch = v1.IngestRequest(items=items[at : at + size])
        batch.sent_at.GetCurrentTime()
        bodies.append(batch.SerializeToString())
    return bodies


def send(target: str, bodies: Sequence[bytes], under_way: int = UNDER_WAY) -> list[float]:
    """Sends batches by the call `Ingest`; each one's seconds until its answer."""
    took: list[float] = []
    room = threading.Semaphore(under_way)

    def done(begun: float) -> None:
        took.append(time.perf_counter() - begun)
        room.release()

    # With the client's options, so that what a busy server refuses is sent again.
    with grpc.insecure_channel(target, options=channel_options()) as channel:
        call = channel.unary_unary("/sameas.v1.IdentityService/Ingest")
        waiting = []
        for body in bodies:
            room.acquire()
            begun = time.perf_counter()
            waiting.append(call.future(body, timeout=60))
            waiting[-1].add_done_callback(lambda _, begun=begun: done(begun))
        for future in waiting:
            future.result()
        for _ in range(under_way):
            room.acquire()
    return took


def compare(
    name: str, send: Send, requests: Callable[[Sequence[v1.IngestItem]], list[bytes]]
) -> list[Result]:
    """Rounds of a way to send batches in turn with plain inserts of what the server kept."""
    items = corpus.items(MESSAGES * (ROUNDS + 1))
    parts = [items[at : at + MESSAGES] for at in range(0, len(items), MESSAGES)]
    with ExitStack() as stack:
        server = stack.enter_context(running())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plains = [
            stack.enter_context(closing(Plain(directory / f"{size}.db", size)))
            for size in (BATCH, GROUP)
        ]
        ledger = Ledger(server.data)
        rounds = [_round(server, ledger, plains, send, requests(part)) for part in parts]
    # The first is for warming up.
    return _results(name, rounds[1:])


def _round(
    server: Server, ledger: Ledger, plains: Sequence[Plain], send: Send, bodies: Sequence[bytes]
) -> Round:
    server_cpu, client_cpu = cpu_seconds(server.process.pid), time.process_time()
    begin = time.perf_counter()
    latencies = send(server.target, bodies)
    seconds = time.perf_counter() - begin
    client_cpu = time.process_time() - client_cpu
    server_cpu = cpu_seconds(server.process.pid) - server_cpu
    rows = ledger.fresh()
    assert len(rows) == MESSAGES, "not all were kept"
    for plain in plains:
        plain.insert(rows)
    batched, grouped = plains
    return Round(
        seconds, server_cpu, client_cpu, latencies, batched.seconds, batched.cpu, grouped.seconds
    )


def _results(name: str, rounds: Sequence[Round]) -> list[Result]:
    rate = statistics.median(MESSAGES / one.seconds for one in rounds)
    latencies = [one for each in rounds for one in each.latencies]
    return [
        ratio(
            f"{name} against plain sqlite3",
            statistics.median(one.plain / one.seconds for one in rounds),
            least=0.6,
        ),
        ratio(
            f"{name} against plain sqlite3 in transactions of {GROUP:,}",
            statistics.median(one.plain_grouped / one.seconds for one in rounds),
        ),
        Result(name, rate, "messages/s", f">= {RATE_LEAST:,}", rate >= RATE_LEAST),
        *latency_results(f"{name}, {UNDER_WAY} under way", latencies),
        _cpu(f"{name}, server's CPU", [one.server_cpu for one in rounds]),
        _cpu(f"{name}, sender's CPU", [one.client_cpu for one in rounds]),
        _cpu("plain sqlite3 of the same rows, CPU", [one.plain_cpu for one in rounds]),
    ]


def latency_results(what: str, latencies: Sequence[float]) -> list[Result]:
    """p50 and p99 of calls' seconds."""
    return [
        Result(f"{what}, p{share}", h2.percentile(latencies, share / 100) * 1e3, "ms")
        for share in (50, 99)
    ]


def _cpu(name: str, seconds: Sequence[float]) -> Result:
    return Result(name, statistics.median(seconds) / MESSAGES * 1e6, "µs/message")
