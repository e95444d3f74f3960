"""Unary calls against empty handlers on the same server stack."""

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from tests.bench import h2
from tests.bench.corpus import REQUESTS
from tests.bench.cpu import cpu_seconds
from tests.bench.ingest import latency_results
from tests.bench.results import Result, ratio
from tests.support.servers import running

from sameas import v1

CALLS = 1_500
ROUNDS = 7
PEOPLE = 1_000
IDENTITY, PERSON = "/sameas.v1.IdentityService", "/sameas.v1.PersonService"
JSON = v1.PayloadForm.PAYLOAD_FORM_JSON


@dataclass
class Call:
    """A method, its requests by number as the client makes them, and the aim for its share."""

    path: str
    request: Callable[[int], bytes]
    least: float

    @property
    def name(self) -> str:
        """The method's name."""
        return self.path.rpartition("/")[2]

    def bodies(self, count: int) -> list[bytes]:
        """So many requests, of as many people as there are, in turn."""
        return [self.request(number % PEOPLE) for number in range(count)]


@dataclass
class Server:
    """Where a server listens, and its process."""

    target: str
    pid: int


@dataclass
class Round:
    """One round's load, and the server's CPU seconds."""

    load: h2.Load
    cpu: float


def identify(number: int) -> bytes:
    """A sign-in, which claims the person's device."""
    request = REQUESTS.identify(
        f"user-{number:06d}", {"plan": "pro", "name": "Peter"}, anonymous_id=f"device-{number:032d}"
    )
    return request.SerializeToString()


def update_profile(number: int) -> bytes:
    """Two operations."""
    request = REQUESTS.update_profile(
        user_id=f"user-{number:06d}", set={"page": "pricing"}, increment={"visits": 1}
    )
    return request.SerializeToString()


def track(number: int) -> bytes:
    """An event of a device."""
    request = REQUESTS.track(
        "product_view",
        {"platform": "tablet", "session": "sess_003228"},
        anonymous_id=f"device-{number:032d}",
        context={"device": {"type": "tablet"}},
    )
    return request.SerializeToString()


def get_person(number: int) -> bytes:
    """The person of a user id."""
    key = v1.PersonKey(user_id=f"user-{number:06d}")
    return v1.GetPersonRequest(key=key, form=JSON).SerializeToString()


CALLS_MEASURED = (
    Call(f"{IDENTITY}/Identify", identify, 0.75),
    Call(f"{IDENTITY}/UpdateProfile", update_profile, 0.75),
    Call(f"{IDENTITY}/Track", track, 0.85),
    Call(f"{PERSON}/GetPerson", get_person, 0.8),
)


def measure() -> list[Result]:
    """Each call's throughput as a share of the empty handler's; the median of rounds."""
    with running() as started:
        real = Server(started.target, started.process.pid)
        answers = {call.name: _warmed_up(call, real.target) for call in CALLS_MEASURED}
        with empty_server(answers) as empty:
            return [one for call in CALLS_MEASURED for one in _compare(call, real, empty)]


@contextmanager
def empty_server(answers: Mapping[str, bytes]) -> Iterator[Server]:
    """A server whose handlers do nothing but answer, by method."""
    arguments = [f"{method}={answer.hex()}" for method, answer in answers.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.empty_server", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = re.search(r"serving on (\S+)", process.stdout.readline())
        assert found
        yield Server(found[1], process.pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _warmed_up(call: Call, target: str) -> bytes:
    """Makes the call for everybody, and gives the answer to one more."""
    assert h2.run(target, call.path, call.bodies(PEOPLE)).failed == 0, "calls failed"
    with grpc.insecure_channel(target) as channel:
        answer: bytes = channel.unary_unary(call.path)(call.request(0), timeout=10)
        return answer


def _compare(call: Call, real: Server, empty: Server) -> list[Result]:
    _round(call, empty)
    pairs = []
    for _ in range(ROUNDS):
        limit = _round(call, empty)
        pairs.append((_round(call, real), limit))
    name = f"unary {call.name}"
    share = statistics.median(one.load.rate / limit.load.rate for one, limit in pairs)
    rate = statistics.median(one.load.rate for one, _ in pairs)
    return [
        ratio(f"{name} against an empty handler", share, least=call.least),
        Result(name, rate, "calls/s"),
        *latency_results(
            f"{name}, 64 under way", [s for one, _ in pairs for s in one.load.latencies]
        ),
        _cpu(f"{name}, server's CPU", [one.cpu for one, _ in pairs]),
        _cpu(f"{name}, empty server's CPU", [limit.cpu for _, limit in pairs]),
    ]


def _round(call: Call, server: Server) -> Round:
    bodies = call.bodies(CALLS)
    before = cpu_seconds(server.pid)
    load = h2.run(server.target, call.path, bodies)
    cpu = cpu_seconds(server.pid) - before
    assert load.failed == 0, "calls failed"
    return Round(load, cpu)


def _cpu(name: str, seconds: list[float]) -> Result:
    return Result(name, statistics.median(seconds) / CALLS * 1e6, "µs/call")
