"""More calls than can be done: who is refused, what is not begun, and what goes on."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import h2, offered
from sameas import Client, v1
from sameas.errors import from_rpc_error
from sameas.ids import new_message_id
from sameas_service.resolver.queue_limit import WAITING_SECONDS_MAX
from sameas_service.servicer.admission import PUSHBACK, PUSHBACK_SECONDS, SHUT_SECONDS
from support.api import SECONDS, Api, refusal_of
from support.servers import Server

TRACK = "/sameas.v1.IdentityService/Track"
TAKEN_SECONDS = 0.3
"""Within which the idle writer takes a call."""

OPEN_SECONDS = 2 * SHUT_SECONDS
"""Within which writes are let in again."""

BURST_SECONDS = 2.0
BURST_FACTOR = 4
RECOVERY_SECONDS = 5.0


@contextmanager
def writer_held(server: Server) -> Iterator[None]:
    """The server's writer waits, as for a disk that does not answer."""
    with closing(sqlite3.connect(server.data / "sameas.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
    time.sleep(OPEN_SECONDS)


def track(user_id: str, message_id: str = "") -> v1.TrackRequest:
    return v1.TrackRequest(user_id=user_id, event="E", message_id=message_id)


def begun(api: Api, user_id: str) -> grpc.Future:
    """A call that the held writer has taken and cannot finish."""
    future = api.identity.Track.future(track(user_id), timeout=SECONDS)
    time.sleep(TAKEN_SECONDS)
    return future


def overloaded(api: Api) -> tuple[grpc.Future, grpc.Future]:
    """Two calls that wait, the second for too long to let anybody else in behind it."""
    waiting = begun(api, "first"), begun(api, "second")
    time.sleep(WAITING_SECONDS_MAX)
    return waiting


def refused(call, request) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=SECONDS)
    return caught.value


def told(error: grpc.RpcError) -> float:
    """After how many seconds a refused caller should come again; said twice, and the same."""
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert [detail.Unpack(retry) for detail in status.details if detail.Is(retry.DESCRIPTOR)]
    assert trailers[PUSHBACK] == str(retry.retry_delay.ToMilliseconds())
    return retry.retry_delay.ToMilliseconds() / 1e3


def is_healthy(api: Api) -> bool:
    stub = health_pb2_grpc.HealthStub(api.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_call_that_its_caller_gave_up_while_it_waited_is_not_kept(
    api: Api, server: Server
) -> None:
    late, cancelled = new_message_id(), new_message_id()

    with writer_held(server):
        first = begun(api, "patient")
        expired = api.identity.Track.future(track("hasty", late), timeout=0.2)
        given_up = api.identity.Track.future(track("hasty", cancelled), timeout=SECONDS)
        time.sleep(0.1)
        given_up.cancel()
        assert expired.exception(SECONDS).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        time.sleep(0.1)

    assert first.result(SECONDS).receipt.person_id
    receipts = [api.send(track("hasty", message_id)) for message_id in (late, cancelled)]
    assert [receipt.duplicate for receipt in receipts] == [False, False]
    assert len(api.timeline(user_id="hasty")) == 2


def test_while_the_disk_hangs_writes_are_refused_at_once_and_all_else_goes_on(
    api: Api, server: Server
) -> None:
    api.send(track("known"))

    with writer_held(server):
        waiting = overloaded(api)
        begin = time.monotonic()
        errors = [refused(api.identity.Track, track(f"refused-{n}")) for n in range(10)]
        seconds = time.monotonic() - begin
        assert api.person(user_id="known").user_id == "known"
        assert len(api.timeline(user_id="known")) == 1
        assert is_healthy(api)

    assert [future.result(SECONDS).receipt.duplicate for future in waiting] == [False, False]
    assert {refusal_of(error).code for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert {refusal_of(error).reason for error in errors} == {"OVERLOADED"}
    assert seconds < WAITING_SECONDS_MAX
    for error in errors:
        assert PUSHBACK_SECONDS[0] <= told(error) <= PUSHBACK_SECONDS[1]
        assert from_rpc_error(error).retry_seconds == told(error)
    api.send(track("refused-0"))
    assert len(api.timeline(user_id="refused-0")) == 1, "a refused call was kept"


def test_the_client_comes_again_when_it_was_told_and_not_before(api: Api, server: Server) -> None:
    with Client(server.target) as client, ThreadPoolExecutor(1) as pool:
        client.track("E", user_id="warm")
        with writer_held(server):
            waiting = overloaded(api)
            begin = time.monotonic()
            call = pool.submit(client.track, "E", user_id="comes-again")
            time.sleep(0.2)
        receipt = call.result(SECONDS)
        seconds = time.monotonic() - begin
    for future in waiting:
        future.result(SECONDS)

    assert receipt.person_id
    # gRPC's own pause would be over after 0.12 seconds at most.
    assert seconds >= PUSHBACK_SECONDS[0]


def test_what_is_refused_was_not_even_read(api: Api, server: Server) -> None:
    def reason_of_malformed() -> str:
        refused(api.identity.Track, track("u"))
        with pytest.raises(grpc.RpcError) as caught:
            api.raw(TRACK, b"\xff")
        return refusal_of(caught.value).reason

    assert refusal_of(refused(api.identity.Track, track(""))).reason == "ID_REQUIRED"
    with writer_held(server):
        waiting = overloaded(api)
        # The second must come before the first is forgotten; on a busy machine not at once.
        was_refused = any(reason_of_malformed() == "OVERLOADED" for _ in range(20))
    for future in waiting:
        future.result(SECONDS)

    assert was_refused
    with pytest.raises(grpc.RpcError) as caught:
        api.raw(TRACK, b"\xff")
    assert refusal_of(caught.value).reason == "REQUEST_MALFORMED"


def test_a_stream_waits_where_a_call_is_refused(api: Api, server: Server) -> None:
    batches = [
        v1.IngestStreamRequest(batch=v1.IngestRequest(items=[v1.IngestItem(track=track("bulk"))]))
        for _ in range(20)
    ]

    with writer_held(server):
        waiting = overloaded(api)
        stream = api.identity.IngestStream(iter(batches), timeout=SECONDS)
        time.sleep(0.2)
        refused(api.identity.Track, track("u"))

    answers = list(stream)
    for future in waiting:
        future.result(SECONDS)
    assert [answer.HasField("error") for answer in answers] == [False] * 20
    assert len(api.timeline(user_id="bulk")) == 20


def bodies(count: int) -> list[bytes]:
    return [
        v1.TrackRequest(
            message_id=new_message_id(), anonymous_id=f"burst-{n % 500}", event="E"
        ).SerializeToString()
        for n in range(count)
    ]


class Probing:
    """Asks for the server's health and a person all the time, from a thread."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._found = self._pool.submit(self._run)

    def _run(self) -> list[bool]:
        found = []
        while not self._over.wait(0.1):
            found.append(is_healthy(self._api))
            found.append(self._api.person(anonymous_id="burst-0").anonymous_ids == ["burst-0"])
        return found

    def finish(self) -> list[bool]:
        self._over.set()
        with self._pool:
            return self._found.result(SECONDS)


def kept(server: Server) -> int:
    uri = f"file:{server.data / 'sameas.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
        return int(count)


def test_of_a_flood_some_are_answered_in_time_the_others_refused_and_then_all_is_well(
    api: Api, server: Server
) -> None:
    capacity = h2.run(server.target, TRACK, bodies(1_500)).rate
    before = kept(server)
    probing = Probing(api)

    flood = bodies(int(capacity * BURST_FACTOR * BURST_SECONDS))
    found = offered.offer(server.target, TRACK, flood, rate=capacity * BURST_FACTOR)
    ended = time.monotonic()
    added = kept(server) - before
    while api_seconds(api) > 0.1:
        assert time.monotonic() - ended < RECOVERY_SECONDS, "it is slow for too long after"
    probes = probing.finish()

    # gRPC's core sheds what Python has not seen (see `server.options`).
    refused = len(found.refused) + len(found.shed)
    assert not found.others
    assert len(found.ok) + refused + found.expired == len(flood)
    assert found.pushed_back == len(found.refused)
    assert refused > 0, "it was no flood"
    assert found.goodput > capacity / 4
    # What was answered is kept; of those that gave up, some may be; of those refused, none is.
    assert len(found.ok) <= added <= len(found.ok) + found.expired
    assert len(probes) > BURST_SECONDS
    assert all(probes)


def api_seconds(api: Api) -> float:
    """The slowest of a few calls, one after the other."""
    slowest = 0.0
    for _ in range(10):
        begin = time.monotonic()
        api.send(track("after"))
        slowest = max(slowest, time.monotonic() - begin)
    return slowest
