"""Streams of batches, and callers that go away before they have their answer."""

import asyncio
import threading
import time
from pathlib import Path

import grpc
import pytest

from sameas import v1
from sameas_service.server.app import App
from sameas_service.server.config import Config
from support.api import Api, refusal_of_item

MIB = 1_024 * 1_024
WRITES_MAX = 400
"""Batches that a server which never stops reading would take."""


def batch(*ids: str, user: str = "u", padding: int = 0) -> v1.IngestStreamRequest:
    context = f'{{"a":"{"x" * padding}"}}' if padding else ""
    items = [
        v1.IngestItem(
            track=v1.TrackRequest(message_id=i, user_id=user, event="e", context_json=context)
        )
        for i in ids
    ]
    return v1.IngestStreamRequest(batch=v1.IngestRequest(items=items))


def ids_of(response: v1.IngestStreamResponse) -> list[str]:
    return [result.receipt.message_id for result in response.results]


def test_responses_come_in_the_order_of_the_batches_whatever_their_size(api: Api) -> None:
    sizes = [1_200, 1, 0, 300, 2, 1, 1, 2_500, 0, 1, 40, 1]
    batches = [[f"order-{n}-{i}" for i in range(size)] for n, size in enumerate(sizes)]

    responses = list(api.identity.IngestStream(iter(batch(*ids) for ids in batches), timeout=30))

    assert [ids_of(response) for response in responses] == batches
    assert not any(response.HasField("error") for response in responses)


def test_a_later_batch_of_a_stream_builds_on_an_earlier_one(api: Api) -> None:
    one = batch("twice", "once", user="stream-twice")
    other = batch("once", "third", user="stream-twice")

    first, second = api.identity.IngestStream(iter([one, other]), timeout=20)

    assert [result.receipt.duplicate for result in first.results] == [False, False]
    assert [result.receipt.duplicate for result in second.results] == [True, False]


def test_a_batch_that_is_too_large_is_refused_and_the_stream_goes_on(api: Api) -> None:
    too_many = batch(*("many" for _ in range(2_501)))
    too_large = batch(*(f"large-{i}" for i in range(140)), padding=31 * 1_024)
    bad_item = batch("fine", "bad\n", "fine too")
    assert too_large.ByteSize() > 4 * MIB

    responses = list(
        api.identity.IngestStream(
            iter([batch("a"), too_many, batch("b"), too_large, bad_item, batch("c")]), timeout=20
        )
    )

    errors = [refusal_of_item(r.error)[:3] if r.HasField("error") else None for r in responses]
    refusal = (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "")
    assert errors == [None, refusal, None, refusal, None, None]
    assert [len(response.results) for response in responses] == [1, 0, 1, 0, 3, 1]
    assert refusal_of_item(responses[4].results[1].error).reason == "CONTROL_CHARACTER"
    assert ids_of(responses[5]) == ["c"]


def test_each_batch_is_answered_before_the_next_is_sent(api: Api) -> None:
    answered = threading.Semaphore(0)

    def requests():
        for number in range(20):
            yield batch(f"step-{number}", user="stepper")
            assert answered.acquire(timeout=10)

    seen = []
    for response in api.identity.IngestStream(requests(), timeout=30):
        seen += ids_of(response)
        assert len(api.timeline(user_id="stepper")) == len(seen)
        answered.release()

    assert seen == [f"step-{number}" for number in range(20)]


def test_after_a_half_close_all_remaining_responses_follow(api: Api) -> None:
    closed = threading.Event()

    def requests():
        for number in range(60):
            yield batch(*(f"rest-{number}-{i}" for i in range(100)))
        closed.set()

    responses = api.identity.IngestStream(requests(), timeout=30)
    first = next(responses)
    closed.wait(20)

    assert [ids_of(r)[0] for r in (first, *responses)] == [f"rest-{n}-0" for n in range(60)]


def costly_to_answer(number: int) -> v1.IngestStreamRequest:
    """A batch whose response is some 200 KiB and which the store never sees, but for one
    message, which tells its number."""
    request = batch(f"held-{number}")
    request.batch.items.extend([v1.IngestItem()] * 2_000)
    return request


async def test_a_sender_that_reads_nothing_is_held_back_and_loses_nothing(server) -> None:
    written: list[str] = []

    async with grpc.aio.insecure_channel(server.target) as channel:
        stub = v1.IdentityServiceStub(channel)
        call = stub.IngestStream(timeout=60)
        writing = asyncio.create_task(_write(call, written))
        await _until_still(written)
        held_at = len(written)
        others = await stub.Track(v1.TrackRequest(user_id="other", event="e"), timeout=10)
        read = [(await call.read()).results[0].receipt.message_id for _ in range(held_at)]
        call.cancel()
        writing.cancel()
        await asyncio.wait([writing])

    assert 8 <= held_at < WRITES_MAX / 2, f"{held_at} batches were taken without a reader"
    assert others.receipt.outcome
    assert read == [f"held-{number}" for number in range(held_at)]


async def _write(call, written: list[str]) -> None:
    """Writes until it is held back; one that is never held back stops at a bound."""
    while len(written) < WRITES_MAX:
        request = costly_to_answer(len(written))
        # Large on the wire too, so that few of them fit into what gRPC buffers.
        request.batch.items.extend([v1.IngestItem(merge=v1.MergeRequest(reason="x" * 10_000))] * 50)
        await call.write(request)
        written.append("")


async def _until_still(grows: list[str]) -> None:
    """Waits until a list has not grown for a second."""
    deadline = time.monotonic() + 30
    size, since = -1, time.monotonic()
    while time.monotonic() - since < 1 and time.monotonic() < deadline:
        if len(grows) != size:
            size, since = len(grows), time.monotonic()
        await asyncio.sleep(0.05)


async def test_streams_that_are_cancelled_leave_no_task_behind(tmp_path: Path) -> None:
    """In this process, to see its tasks: a stalled stream, cut off, must not be kept."""
    async with App(Config(data=tmp_path / "data", port=0)) as app:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
            call = v1.IdentityServiceStub(channel).IngestStream()
            written: list[str] = []
            writing = asyncio.create_task(_write(call, written))
            await _until_still(written)
            assert any(_is_reader(task) for task in asyncio.all_tasks())
            call.cancel()
            writing.cancel()
            await asyncio.wait([writing])
        await asyncio.sleep(0.5)

        left = [task for task in asyncio.all_tasks() if _is_reader(task)]
        assert left == []


def _is_reader(task: asyncio.Task) -> bool:
    return "_read_stream" in repr(task.get_coro())


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_what_a_caller_no_longer_waits_for_is_kept_whole_or_not_at_all(
    server, api: Api, how: str
) -> None:
    size = 400
    began = time.monotonic()
    list(api.identity.IngestStream(iter([batch(*(f"warm-{how}-{i}" for i in range(size)))])))
    usual = time.monotonic() - began
    kept_all_the_same = unfinished = 0

    for attempt in range(24):
        user = f"gone-{how}-{attempt}"
        ids = [f"{user}-{i}" for i in range(size)]
        request = batch(*ids, user=user).batch
        patience = usual * (attempt + 1) / 24
        call = api.identity.Ingest.future(request, timeout=patience if how == "deadline" else 10)
        if how == "cancel":
            time.sleep(patience)
            call.cancel()
        finished = not call.cancelled() and call.code() is grpc.StatusCode.OK
        unfinished += not finished

        retry = api.identity.Ingest(request, timeout=10).results

        duplicates = {result.receipt.duplicate for result in retry}
        assert len(duplicates) == 1, "half of the batch was kept"
        assert duplicates == {True} or not finished
        kept_all_the_same += duplicates == {True} and not finished
        assert sorted(m.message_id for m in api.timeline(user_id=user)) == sorted(ids)

    assert unfinished > 0
    assert kept_all_the_same > 0
