"""Explain and as-of reads of a person with 10,000 messages, through a server."""

import time
from collections.abc import Callable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tests.bench.results import Result
from tests.support.servers import running

from sameas import v1

MESSAGES, DEVICES, CALLS = 10_000, 5, 40
START = 1_700_000_000


def measure() -> list[Result]:
    """p50 and p99 of each call, one at a time."""
    with running() as server, grpc.insecure_channel(server.target) as channel:
        identity, person = v1.IdentityServiceStub(channel), v1.PersonServiceStub(channel)
        for at in range(0, MESSAGES, 1_000):
            identity.Ingest(
                v1.IngestRequest(items=map(_item, range(at, at + 1_000)), imported=True)
            )
        key = v1.PersonKey(user_id="user")
        then = Timestamp(seconds=START + MESSAGES)
        device = v1.PersonKey(anonymous_id="device-1")
        calls: dict[str, Callable[[], object]] = {
            "GetPerson": lambda: person.GetPerson(v1.GetPersonRequest(key=key)),
            "GetPerson as of": lambda: person.GetPerson(v1.GetPersonRequest(key=key, as_of=then)),
            "ListMessages as of": lambda: person.ListMessages(
                v1.ListMessagesRequest(key=key, as_of=then)
            ),
            "Explain": lambda: person.Explain(v1.ExplainRequest(first=device, second=key)),
        }
        return [one for name, call in calls.items() for one in _timed(name, call)]


def _item(number: int) -> v1.IngestItem:
    stamp = Timestamp(seconds=START + number)
    track = v1.TrackRequest(
        message_id=f"m{number:06d}",
        anonymous_id=f"device-{number % DEVICES}",
        user_id="user" if number % 3 == 0 else "",
        event="page",
        timestamp=stamp,
        properties_json='{"session":1}',
    )
    return v1.IngestItem(track=track, received_at=stamp)


def _timed(name: str, call: Callable[[], object]) -> list[Result]:
    call()
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    times.sort()
    what = f"{name}, a person of {MESSAGES:,} messages"
    return [
        Result(f"{what}, p50", times[len(times) // 2], "ms"),
        Result(f"{what}, p99", times[int(len(times) * 0.99)], "ms"),
    ]
