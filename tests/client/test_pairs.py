"""Merge, unlink, previews and the log of changes, by both clients."""

import asyncio
import threading
import time

import grpc
import pytest

import sameas
from sameas import (
    MISSING,
    AsyncClient,
    ChangeKind,
    Client,
    IdentityChange,
    InvalidArgument,
    MovedMessages,
    Outcome,
    Preview,
    Receipt,
    TraitChange,
    Unlinked,
    WatchedChange,
    v1,
)

PAIRS = [
    ("merge", ("u-1", "u-0"), {}),
    ("unlink", ("u-1",), {"anonymous_id": "a-1"}),
    ("unlink", ("u-1",), {"previous_user_id": "u-0"}),
]
PREVIEWS = [
    ("identify", ("u-1", {"plan": "pro"}), {"anonymous_id": "a-1"}),
    ("alias", ("u-1",), {"previous_anonymous_id": "a-1"}),
    ("track", ("Signed Up",), {"user_id": "u-1"}),
    ("page", (), {"anonymous_id": "a-1"}),
    ("screen", ("Home",), {"anonymous_id": "a-1"}),
    ("group", ("g-1",), {"user_id": "u-1"}),
    ("reset", ("a-1",), {}),
    ("update_profile", (), {"user_id": "u-1", "set": {"plan": "pro"}}),
    *PAIRS,
]
EFFECTS = v1.Preview(
    changes=[
        v1.IdentityChange(
            kind=v1.ChangeKind.CHANGE_KIND_JOINED, anonymous_id="a-1",
            person_id="p-1", former_person_id="p-0",
        ),
        v1.IdentityChange(
            kind=v1.ChangeKind.CHANGE_KIND_GONE, user_id="u-0", former_person_id="p-0"
        ),
    ],
    moved=[v1.MovedMessages(former_person_id="p-0", person_id="p-1", messages=3),
           v1.MovedMessages(person_id="p-1", messages=1)],
)  # fmt: skip
CHANGES = (
    IdentityChange(ChangeKind.JOINED, "a-1", None, "p-1", "p-0"),
    IdentityChange(ChangeKind.GONE, None, "u-0", None, "p-0"),
)
MOVED = (MovedMessages("p-0", "p-1", 3), MovedMessages(None, "p-1", 1))


# ---- Merge and unlink ----------------------------------------------------------------------


async def test_a_merge_answers_with_a_receipt(run, service):
    receipt = await run("merge", "u-1", "u-0", reason="same", message_id="m-1")

    assert receipt == Receipt(message_id="m-1", outcome=Outcome.LINKED, person_id="p-1")
    (request,) = service.requests
    assert (request.user_id, request.previous_user_id, request.reason) == ("u-1", "u-0", "same")
    assert not request.HasField("timestamp")
    assert not request.validate_only


async def test_an_unlink_answers_with_what_it_changed_and_what_joins_the_pair_still(run, service):
    step = v1.ExplainStep(previous_user_id="u-0", user_id="u-1", messages=2, sentence="linked")
    receipt = v1.Receipt(message_id="m-1", outcome=v1.Outcome.OUTCOME_SPLIT, person_id="p-1")
    service.answers.append(v1.UnlinkResponse(receipt=receipt, preview=EFFECTS, chain=[step]))

    answer = await run("unlink", "u-1", anonymous_id="a-1", reason="shared", message_id="m-1")

    assert isinstance(answer, Unlinked)
    assert answer.receipt == Receipt("m-1", Outcome.SPLIT, "p-1")
    assert (answer.changes, answer.moved, answer.traits) == (CHANGES, MOVED, ())
    (chain,) = answer.chain
    assert (chain.previous_user_id, chain.user_id, chain.messages) == ("u-0", "u-1", 2)
    (request,) = service.requests
    assert (request.user_id, request.anonymous_id, request.reason) == ("u-1", "a-1", "shared")
    assert not request.validate_only


async def test_an_unlink_has_one_other(run, service):
    with pytest.raises(InvalidArgument) as caught:
        await run("unlink", "u-1", anonymous_id="a-1", previous_user_id="u-0")

    assert caught.value.field == "other"
    assert service.requests == []


@pytest.mark.parametrize(("name", "args", "kwargs"), PAIRS)
async def test_a_pair_has_an_id_a_deadline_and_a_key_and_is_retried(
    run, service, failure, name, args, kwargs
):
    service.answers.append(failure(grpc.StatusCode.UNAVAILABLE))

    await run(name, *args, **kwargs)
    await run(name, *args, **kwargs, timeout=60)

    first, again, second = service.requests
    assert first == again
    assert len(first.message_id) == 36
    assert first.message_id < second.message_id
    assert 3 < service.seconds_left[0] <= 5.1
    assert 55 < service.seconds_left[2] <= 60.1
    assert service.metadata[0]["authorization"] == "Bearer k-1"


async def test_a_lone_surrogate_is_refused(run, service):
    for call in (
        run("merge", "u-1", "\ud800"),
        run("unlink", "u-1", anonymous_id="\ud800"),
        run("merge", "u-1", "u-0", reason="\ud800"),
        run("watch_changes", "\ud800"),
    ):
        with pytest.raises(InvalidArgument):
            await call
    assert service.requests == []


# ---- Previews ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "args", "kwargs"), PREVIEWS)
async def test_a_preview_is_its_call_with_validate_only(run, service, name, args, kwargs):
    preview = await run(f"preview.{name}", *args, **kwargs, message_id="m-1")
    receipt = await run(name, *args, **kwargs, message_id="m-1")

    asked, done = service.requests
    assert type(preview) is (Unlinked if name == "unlink" else Preview)
    assert preview.receipt == Receipt("m-1", Outcome.LINKED, "p-1")
    assert (preview.changes, preview.moved, preview.traits) == ((), (), ())
    assert (asked.validate_only, done.validate_only) == (True, False)
    assert getattr(receipt, "receipt", receipt).message_id == "m-1"
    for request in (asked, done):
        request.validate_only = False
        for field in ("timestamp", "sent_at"):
            if field in request.DESCRIPTOR.fields_by_name:
                request.ClearField(field)
    assert asked == done


async def test_a_preview_has_plain_values(run, service):
    response = v1.IdentifyResponse(receipt=v1.Receipt(message_id="m-1"), preview=EFFECTS)
    for name, former, value in [
        ("whole", None, 3), ("half", 0.5, 2.0**60), ("list", [1, None], {"a": [True]}),
        ("null", "x", "null"),
    ]:  # fmt: skip
        change = response.preview.traits.add(person_id="p-1", trait=name)
        for field, given in (("former_value", former), ("value", value)):
            target = getattr(change, field)
            if given == "null":
                target.null_value = 0
            elif isinstance(given, str):
                target.string_value = given
            elif isinstance(given, dict):
                target.struct_value.update(given)
            elif isinstance(given, list):
                target.list_value.extend(given)
            elif given is not None:
                target.number_value = given
    service.answers.append(response)

    preview = await run("preview.identify", "u-1")

    assert (preview.changes, preview.moved) == (CHANGES, MOVED)
    assert repr(preview.traits) == repr(
        (
            TraitChange("p-1", "whole", MISSING, 3),
            TraitChange("p-1", "half", 0.5, 2.0**60),
            TraitChange("p-1", "list", [1, None], {"a": [True]}),
            TraitChange("p-1", "null", "x", None),
        )
    )


async def test_a_preview_raises_as_its_call_does(run, service, failure):
    service.answers.append(failure(grpc.StatusCode.INVALID_ARGUMENT, "ID_BLOCKED"))

    with pytest.raises(InvalidArgument) as caught:
        await run("preview.identify", "null")

    assert caught.value.reason == "ID_BLOCKED"


# ---- The log of changes --------------------------------------------------------------------


def response_of(*cursors: str) -> v1.WatchChangesResponse:
    change = v1.IdentityChange(kind=v1.ChangeKind.CHANGE_KIND_CREATED, user_id="u", person_id="p")
    return v1.WatchChangesResponse(
        changes=[v1.WatchedChange(cursor=each, change=change, message_id="m") for each in cursors]
    )


async def test_changes_come_one_by_one_and_there_is_no_deadline(run, service):
    service.answers.append([response_of("1", "2"), response_of("3")])

    found = await run("watch_changes", "0")

    change = IdentityChange(ChangeKind.CREATED, None, "u", "p", None)
    assert found == [WatchedChange(cursor, change, "m") for cursor in "123"]
    (request,) = service.requests
    assert (request.cursor, request.until_present) == ("0", True)
    assert service.metadata[0]["authorization"] == "Bearer k-1"
    assert not service.seconds_left[0] or service.seconds_left[0] > 10**6


async def test_following_asks_for_more_and_a_timeout_is_for_the_whole(run, service):
    service.answers.append([response_of("1")])

    await run("watch_changes", follow=True, timeout=60)

    assert not service.requests[0].until_present
    assert 55 < service.seconds_left[0] <= 60.1


@pytest.mark.parametrize("kind", ["sync", "aio"])
async def test_leaving_the_loop_ends_the_call_while_the_client_goes_on(service, target, kind):
    def endless():
        yield response_of("1")
        service.stream_ended.wait(20)

    service.answers.append(endless())
    if kind == "sync":
        with Client(target) as client:
            changes = client.watch_changes(follow=True)
            assert next(changes).cursor == "1"
            changes.close()
            assert service.stream_ended.wait(5)
    else:
        async with AsyncClient(target) as client:
            changes = client.watch_changes(follow=True)
            assert (await anext(changes)).cursor == "1"
            await changes.aclose()
            assert await asyncio.to_thread(service.stream_ended.wait, 5)


async def test_a_stream_that_fails_raises_behind_what_it_gave(run, service, failure):
    service.answers.append(failure(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"))

    with pytest.raises(InvalidArgument) as caught:
        await run("watch_changes", "x")

    assert caught.value.reason == "PAGE_TOKEN_INVALID"


async def test_what_a_newer_server_adds_is_unknown_and_no_error(run, service):
    response = response_of("1")
    response.changes[0].change.kind = 99
    service.answers.append([response])

    (found,) = await run("watch_changes")

    assert found.change.kind is ChangeKind.UNKNOWN


# ---- With the service ----------------------------------------------------------------------


def test_merge_preview_unlink_and_changes_with_the_service(server):
    with Client(server.target) as client:
        start = [change.cursor for change in client.watch_changes()]
        client.identify("pair-u", {"plan": "pro"}, anonymous_id="pair-d")
        other = client.identify("pair-v", {"plan": "free"}).person_id
        would = client.preview.merge("pair-u", "pair-v")

        done = client.merge("pair-u", "pair-v", reason="the same", message_id="pair-m")
        gone = client.unlink("pair-u", previous_user_id="pair-v")
        log = list(client.watch_changes(start[-1] if start else ""))

        assert would.receipt.absorbed_person_ids == done.absorbed_person_ids == (other,)
        assert [(c.kind, c.user_id) for c in would.changes] == [(ChangeKind.JOINED, "pair-v")]
        assert set(would.traits) == {
            TraitChange(done.person_id, "plan", "pro", "free"),
            TraitChange(other, "plan", "free", MISSING),
        }
        assert (gone.receipt.outcome, gone.chain) == (Outcome.SPLIT, ())
        assert [(c.user_id, c.person_id) for c in gone.changes] == [("pair-v", other)]
        assert [c.change for c in log if c.message_id == "pair-m"] == list(would.changes)
        assert client.person(user_id="pair-v").person_id == other


async def test_the_same_with_asyncio(server):
    async with AsyncClient(server.target) as client:
        await client.identify("aio-u", anonymous_id="aio-d")
        would = await client.preview.unlink("aio-u", anonymous_id="aio-d")
        assert (await client.person(anonymous_id="aio-d")).user_id == "aio-u"

        gone = await client.unlink("aio-u", anonymous_id="aio-d")
        merged = await client.merge("aio-v", "aio-u")
        log = [change async for change in client.watch_changes()]

    assert (gone.changes, gone.moved) == (would.changes, would.moved)
    assert gone.receipt.outcome is Outcome.SPLIT
    assert merged.message_id == log[-1].message_id


def test_a_follower_hears_until_the_loop_is_left_and_the_client_goes_on(server):
    with Client(server.target) as client:
        timer = threading.Timer(0.3, client.track, ("E",), {"user_id": "heard"})
        timer.start()
        for change in client.watch_changes(follow=True):
            if change.change.user_id == "heard":
                break
        timer.join()

        assert client.person(user_id="heard").person_id == change.change.person_id


async def test_a_follower_of_asyncio_hears_and_closes(server):
    async with AsyncClient(server.target) as client:
        changes = client.watch_changes(follow=True)
        await client.track("E", user_id="aio-heard")
        async for change in changes:
            if change.change.user_id == "aio-heard":
                break
        await changes.aclose()

        assert (await client.person(user_id="aio-heard")).person_id == change.change.person_id


def test_a_follower_ends_as_unavailable_when_the_server_stops(fresh_server):
    with Client(fresh_server.target) as client:
        client.track("E", user_id="u")
        changes = client.watch_changes(follow=True)
        next(changes)
        threading.Timer(0.2, fresh_server.process.terminate).start()
        began = time.monotonic()

        with pytest.raises(sameas.Unavailable) as caught:
            next(changes)

    assert caught.value.reason == "SERVER_STOPPING"
    assert time.monotonic() - began < 5


# ---- Cancelled calls -----------------------------------------------------------------------


async def test_a_call_that_the_server_cancelled_once_is_not_seen(run, service, failure):
    for name, args, kwargs in [
        ("track", ("E",), {"user_id": "u-1"}),
        ("person", (), {"user_id": "u-1"}),
        ("merge", ("u-1", "u-0"), {}),
    ]:
        service.requests.clear()
        service.answers.append(failure(grpc.StatusCode.CANCELLED))

        answer = await run(name, *args, **kwargs)

        assert answer.person_id == "p-1"
        assert len(service.requests) == 2
        assert service.requests[0] == service.requests[1]


def test_a_call_that_its_caller_cancelled_is_not_repeated(service, client):
    service.gate.clear()
    call = client._identity.Track.future(v1.TrackRequest(user_id="u-1", event="E"), timeout=10)
    wait_for(service, 1)

    assert call.cancel()
    time.sleep(0.5)  # longer than the pause before a first retry
    service.gate.set()

    assert call.code() is grpc.StatusCode.CANCELLED
    assert len(service.requests) == 1


async def test_a_call_that_its_task_cancelled_is_not_repeated(service, aio_client):
    service.gate.clear()
    task = asyncio.create_task(aio_client.track("E", user_id="u-1"))
    await asyncio.to_thread(wait_for, service, 1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.5)
    service.gate.set()

    assert len(service.requests) == 1


def wait_for(service, requests: int) -> None:
    deadline = time.monotonic() + 10
    while len(service.requests) < requests and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(service.requests) == requests
