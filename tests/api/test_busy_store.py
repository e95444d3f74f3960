"""Another program that writes to the database: writes are refused in so many words, reads go on."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import grpc
import pytest

from sameas import v1
from sameas_service.store.sqlite.store import FILE
from support.api import Api, connected, refused
from support.servers import Server


@pytest.fixture
def api(fresh_server: Server) -> Iterator[Api]:
    with connected(fresh_server.target) as opened:
        yield opened


def streamed(api: Api) -> v1.IngestStreamResponse:
    """The answer to one batch of a stream."""
    batch = v1.IngestStreamRequest()
    batch.batch.items.add(track=v1.TrackRequest(message_id="b", user_id="u", event="e"))
    return next(iter(api.identity.IngestStream(iter([batch]), timeout=20)))


def test_writes_are_refused_as_busy_until_the_other_program_is_done(
    fresh_server: Server, api: Api
) -> None:
    """A call waits some seconds for the other program before it is refused."""
    track = v1.TrackRequest(message_id="a", user_id="u", event="e")
    api.send(v1.TrackRequest(message_id="first", user_id="u", event="e"))
    with (
        closing(sqlite3.connect(fresh_server.data / FILE, isolation_level=None)) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        unary, stream = pool.submit(refused, api.send, track), pool.submit(streamed, api)
        read = [message.message_id for message in api.timeline(user_id="u")]
        refusal, answer = unary.result(20), stream.result(20)
        other.execute("ROLLBACK")

    assert read == ["first"]
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_BUSY")
    assert v1.ErrorReason.Name(answer.error.reason) == "ERROR_REASON_STORE_BUSY"
    assert answer.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert not api.send(track).duplicate, "nothing was kept"
    assert not streamed(api).HasField("error")
    assert fresh_server.stop() == 0
