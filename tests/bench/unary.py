"""Unary calls against empty handlers on the same server stack."""

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.bench import h2
from tests.bench.results import Result, ratio
from tests.support.servers import running

from sameas import v1
from sameas.ids import new_message_id

CALLS = 4_000
ROUNDS = 7
SERVICE = "/sameas.v1.IdentityService"


@contextmanager
def empty_server() -> Iterator[str]:
    """The target of a server whose handlers do nothing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.empty_server"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = re.search(r"serving on (\S+)", process.stdout.readline())
    assert found
    try:
        yield found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def track_bodies(count: int) -> list[bytes]:
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


def measure() -> list[Result]:
    """Each call's throughput as a share of the empty handler's; the median of rounds."""
    with running() as server, empty_server() as empty:
        return _compare("Track", f"{SERVICE}/Track", server.target, empty, track_bodies, 0.85)


def _compare(
    name: str,
    method: str,
    target: str,
    empty: str,
    bodies: Callable[[int], Sequence[bytes]],
    least: float,
) -> list[Result]:
    h2.run(empty, method, bodies(1_000))
    h2.run(target, method, bodies(1_000))
    pairs = []
    for _ in range(ROUNDS):
        limit = h2.run(empty, method, bodies(CALLS))
        real = h2.run(target, method, bodies(CALLS))
        assert real.failed == limit.failed == 0, "calls failed"
        pairs.append((real, limit))
    share = statistics.median(real.rate / limit.rate for real, limit in pairs)
    rate = statistics.median(real.rate for real, _ in pairs)
    last = pairs[-1][0]
    return [
        ratio(f"unary {name} against an empty handler", share, least=least),
        Result(f"unary {name}", rate, "calls/s"),
        Result(f"unary {name}, p50 with 64 under way", last.percentile(0.5) * 1e3, "ms"),
        Result(f"unary {name}, p99 with 64 under way", last.percentile(0.99) * 1e3, "ms"),
    ]
