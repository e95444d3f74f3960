"""Twice and ten times as many calls as can be done, for as long as it takes to get worse.

The server has one CPU and the load the other, or the load would take from the server what it
measures. Capacity is what 64 callers that wait for their answers get done on the same CPU.
"""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.bench import h2, offered
from tests.bench.offered import Offered
from tests.bench.results import Result, ratio
from tests.support.servers import Server

from sameas import v1
from sameas.ids import new_message_id

METHOD = "/sameas.v1.IdentityService/Track"
SERVER_CPU, LOAD_CPU = 0, 1
DEADLINE_SECONDS = 1.0
CAPACITY_ROUNDS = 5
CAPACITY_CALLS = 6_000
SECONDS = 10.0
PROBES_A_SECOND = 20
RECOVERY_SECONDS_MAX = 10.0

# Of capacity, and milliseconds that 99 of 100 admitted calls take at most.
AIMS = {2: (0.9, 250.0), 10: (0.7, 500.0)}


def measure() -> list[Result]:
    """Goodput under each load as a share of capacity, and what callers see of it."""
    with pinned_server() as server:
        h2.run(server.target, METHOD, bodies(2_000))
        calm = [
            h2.run(server.target, METHOD, bodies(CAPACITY_CALLS)) for _ in range(CAPACITY_ROUNDS)
        ]
        capacity = statistics.median(one.rate for one in calm)
        results = [Result("Track, capacity on one CPU", capacity, "calls/s")]
        for factor in AIMS:
            results += _flood(server, capacity, factor)
        peak = _peak_bytes(server)
    return [*results, Result("the server's memory at its peak", peak / 2**20, "MiB")]


def _flood(server: Server, capacity: float, factor: int) -> list[Result]:
    least, most = AIMS[factor]
    rate = capacity * factor
    calls = bodies(int(rate * SECONDS))
    with _probing(server.target) as probes:
        found = offered.offer(
            server.target, METHOD, calls, rate=rate, deadline_seconds=DEADLINE_SECONDS
        )
    recovery = _recovery_seconds(server.target, capacity)
    return [
        ratio(f"goodput at {factor} times capacity", found.goodput / capacity, least=least),
        _at_most(
            f"admitted at {factor} times, p99", h2.percentile(found.ok, 0.99) * 1e3, "ms", most
        ),
        Result(f"admitted at {factor} times, p50", h2.percentile(found.ok, 0.5) * 1e3, "ms"),
        *_refusals(found, factor),
        ratio(f"health probes answered at {factor} times", statistics.mean(probes), least=0.999),
        _at_most(f"normal again after {factor} times", recovery, "s", 5.0),
    ]


def _refusals(found: Offered, factor: int) -> list[Result]:
    ended = [*found.refused, *found.shed]
    return [
        ratio(f"refused by the service at {factor} times", len(found.refused) / found.calls),
        ratio(f"shed by gRPC's core at {factor} times", len(found.shed) / found.calls),
        ratio(f"expired at {factor} times", found.expired / found.calls),
        Result(f"refused at {factor} times, p99", h2.percentile(ended, 0.99) * 1e3, "ms"),
    ]


def _at_most(name: str, value: float, unit: str, most: float) -> Result:
    return Result(name, value, unit, f"<= {most:g}", value <= most)


def bodies(count: int) -> list[bytes]:
    """Track calls from 1,000 devices, with an id each."""
    return [
        v1.TrackRequest(
            message_id=new_message_id(),
            anonymous_id=f"device-{index % 1000:032d}",
            event="product_view",
            properties_json='{"platform":"tablet","session":"sess_003228"}',
            context_json='{"device":{"type":"tablet"}}',
        ).SerializeToString()
        for index in range(count)
    ]


@contextmanager
def pinned_server() -> Iterator[Server]:
    """A server with a CPU of its own; this process has the other until it is stopped."""
    before = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "data").start("taskset", "--cpu-list", str(SERVER_CPU))
        os.sched_setaffinity(0, {LOAD_CPU})
        try:
            yield server
        finally:
            os.sched_setaffinity(0, before)
            server.stop()


@contextmanager
def _probing(target: str) -> Iterator[list[bool]]:
    """Asks for the server's health all the while; whether it was answered in a second."""
    found: list[bool] = []
    over = threading.Event()

    def probe() -> None:
        with grpc.insecure_channel(target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            while not over.wait(1 / PROBES_A_SECOND):
                found.append(False)
                with suppress(grpc.RpcError):
                    check(health_pb2.HealthCheckRequest(), timeout=1.0)
                    found[-1] = True

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _recovery_seconds(target: str, capacity: float) -> float:
    """Until 99 of 100 calls at half of capacity take no more than a tenth of a second."""
    begin = time.perf_counter()
    rate = capacity / 2
    while (waited := time.perf_counter() - begin) < RECOVERY_SECONDS_MAX:
        calls = bodies(int(rate / 2))
        found = offered.offer(target, METHOD, calls, rate=rate, deadline_seconds=DEADLINE_SECONDS)
        if len(found.ok) == len(calls) and h2.percentile(found.ok, 0.99) < 0.1:
            return waited
    return RECOVERY_SECONDS_MAX


def _peak_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
