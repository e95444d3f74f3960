"""WatchChanges: replayed into an empty map, it is what the reads answer."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from sameas import v1
from support.api import SECONDS, Api, at, connected, refused
from support.changes import Names, last_cursor, name_of, replayed, watched
from support.servers import Server, running

KIND = v1.ChangeKind
WRITERS = 16
CALLS = 30
IDS = 5
SOON = 3.0
"""Seconds within which a follower must have heard, and a server with followers have stopped."""


def follow(api: Api, cursor: str = "") -> Any:
    """A call that waits for more."""
    return api.persons.WatchChanges(v1.WatchChangesRequest(cursor=cursor), timeout=60)


def changes_of(call: Any) -> Iterator[v1.WatchedChange]:
    for response in call:
        yield from response.changes


def answered(api: Api, names: Names) -> Names:
    """What GetPerson says of the same ids."""
    keys = [v1.PersonKey(**{field: name}) for field, name in names]
    people = api.people(*keys)
    return {name: person.person_id for name, person in zip(names, people, strict=True) if person}


def test_up_to_the_present_the_stream_ends_with_what_each_id_is_now(fresh_server: Server) -> None:
    with connected(fresh_server.target) as api:
        assert watched(api) == []
        view = api.send(v1.TrackRequest(anonymous_id="d", event="e", timestamp=at(50)))
        claim = api.send(v1.IdentifyRequest(anonymous_id="d", user_id="u", timestamp=at(40)))
        api.send(v1.TrackRequest(anonymous_id="d", event="unchanged", timestamp=at(30)))
        joined = api.send(v1.MergeRequest(user_id="v", previous_user_id="u"))
        other = api.send(v1.IdentifyRequest(anonymous_id="d", user_id="w"))
        parted = api.send(v1.UnlinkRequest(user_id="v", previous_user_id="u"))

        log = watched(api)

    told = [
        (message_id, {(name_of(one.change)[1], one.change.kind) for one in changes})
        for message_id, changes in itertools.groupby(log, lambda one: one.message_id)
    ]
    assert told == [
        (view.message_id, {("d", KIND.CHANGE_KIND_CREATED)}),
        (claim.message_id, {("u", KIND.CHANGE_KIND_CREATED), ("d", KIND.CHANGE_KIND_JOINED)}),
        (joined.message_id, {("v", KIND.CHANGE_KIND_CREATED), ("u", KIND.CHANGE_KIND_JOINED),
                             ("d", KIND.CHANGE_KIND_JOINED)}),
        (other.message_id, {("w", KIND.CHANGE_KIND_CREATED), ("d", KIND.CHANGE_KIND_SWITCHED)}),
        (parted.message_id, {("v", KIND.CHANGE_KIND_GONE), ("u", KIND.CHANGE_KIND_SPLIT)}),
    ]  # fmt: skip
    final = replayed(one.change for one in log)
    assert final == {
        ("user_id", "u"): claim.person_id,
        ("user_id", "w"): other.person_id,
        ("anonymous_id", "d"): other.person_id,
    }


def test_a_consumer_goes_on_behind_any_cursor(api: Api) -> None:
    for number in range(5):
        api.send(v1.IdentifyRequest(anonymous_id=f"resume-{number}", user_id="resume"))
    log = watched(api)

    cursors = [one.cursor for one in log]

    assert len(set(cursors)) == len(cursors) >= 6
    for index, cursor in enumerate(cursors):
        assert watched(api, cursor) == log[index + 1 :]


def test_a_response_has_at_most_a_thousand_changes(fresh_server: Server) -> None:
    users = [v1.TrackRequest(user_id=f"u{number}", event="e") for number in range(2_400)]
    with connected(fresh_server.target) as api:
        api.ingest(*users)
        request = v1.WatchChangesRequest(until_present=True)

        responses = list(api.persons.WatchChanges(request, timeout=SECONDS))

    assert [len(response.changes) for response in responses] == [1_000, 1_000, 400]
    assert [one.change.user_id for r in responses for one in r.changes] == [
        user.user_id for user in users
    ]


def test_a_follower_hears_of_a_change_made_after_it_began(api: Api) -> None:
    call = follow(api, last_cursor(api))
    changes = changes_of(call)
    time.sleep(0.3)  # long enough for the server to find nothing at first

    receipt = api.send(v1.TrackRequest(user_id="followed", event="e"))
    began = time.monotonic()
    heard = next(changes)

    assert time.monotonic() - began < SOON
    assert (heard.message_id, heard.change.user_id) == (receipt.message_id, "followed")
    assert heard.change.person_id == receipt.person_id
    api.send(v1.IdentifyRequest(user_id="followed", anonymous_id="followed-d"))
    assert next(changes).change.anonymous_id == "followed-d"
    call.cancel()


@pytest.mark.parametrize(
    "cursor", ["x", "-1", "+1", "1.0", " 1", "1 ", "1e3", "0x1", "٣", "9" * 19, "1\n", "1_0"]
)
@pytest.mark.parametrize("until_present", [True, False])
def test_what_is_no_cursor_is_refused(api: Api, cursor: str, until_present: bool) -> None:
    request = v1.WatchChangesRequest(cursor=cursor, until_present=until_present)

    refusal = refused(lambda: list(api.persons.WatchChanges(request, timeout=SECONDS)))

    assert refusal[:3] == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "cursor")


# ---- Many writers --------------------------------------------------------------------------


def anything(choose: random.Random) -> Any:
    """A random call about a few ids, most of them soon, some late."""
    user, other, device = (f"{kind}{choose.randrange(IDS)}" for kind in "uud")
    when = {"timestamp": at(choose.choice([0, 0, 0, 600, 3_000]))}
    return choose.choice(
        [
            v1.TrackRequest(anonymous_id=device, event="e", **when),
            v1.TrackRequest(anonymous_id=device, event="e", **when),
            v1.IdentifyRequest(anonymous_id=device, user_id=user, **when),
            v1.IdentifyRequest(anonymous_id=device, user_id=user, **when),
            v1.ResetRequest(anonymous_id=device, **when),
            v1.AliasRequest(user_id=user, previous_anonymous_id=device, **when),
            v1.MergeRequest(user_id=user, previous_user_id=other),
            v1.UnlinkRequest(user_id=user, previous_user_id=other),
            v1.UnlinkRequest(user_id=user, anonymous_id=device),
        ]
    )


def write(target: str, number: int) -> None:
    choose = random.Random(number)
    with connected(target) as api:
        for _ in range(CALLS):
            api.send(anything(choose))


def test_followers_of_16_writers_know_what_the_reads_answer(fresh_server: Server) -> None:
    heard: list[list[v1.WatchedChange]] = [[], []]

    def listen(into: list[v1.WatchedChange], call: Any) -> None:
        for change in changes_of(call):
            into.append(change)
            if change.change.user_id == "last":
                return

    with connected(fresh_server.target) as api:
        calls = [follow(api) for _ in heard]
        listeners = [
            threading.Thread(target=listen, args=pair) for pair in zip(heard, calls, strict=True)
        ]
        writers = [
            threading.Thread(target=write, args=(fresh_server.target, n)) for n in range(WRITERS)
        ]
        for thread in (*listeners, *writers):
            thread.start()
        for thread in writers:
            thread.join(60)
        api.send(v1.TrackRequest(user_id="last", event="e"))
        for thread in listeners:
            thread.join(20)
        for call in calls:
            call.cancel()

        log = watched(api)
        people = replayed(one.change for one in log)
        every_id = {("user_id", f"u{n}"): "" for n in range(IDS)}
        every_id |= {("anonymous_id", f"d{n}"): "" for n in range(IDS)} | {("user_id", "last"): ""}

        assert heard == [log, log]
        assert people == answered(api, every_id)
        kinds = {one.change.kind for one in log}
        assert kinds >= {1, 2, 3, 4, 5}, "the calls were too tame to tell anything"


# ---- Stopping ------------------------------------------------------------------------------


def test_followers_do_not_keep_the_server_from_stopping() -> None:
    """Nor does one that hears without end: the drain time is for calls that will end."""
    with running(DRAIN_SECONDS="20") as server, connected(server.target) as api:
        api.send(v1.TrackRequest(user_id="u0", event="e"))
        calls = [follow(api) for _ in range(20)]
        for call in calls:
            next(call)

        began = time.monotonic()
        exit_code = server.stop()
        took = time.monotonic() - began
        ends = [refused(list, call) for call in calls]

    assert exit_code == 0
    assert took < SOON
    assert {end[:2] for end in ends} == {(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")}


def test_a_follower_amid_writers_ends_with_the_server_and_goes_on_at_the_next() -> None:
    with running(DRAIN_SECONDS="20") as server:
        heard: list[v1.WatchedChange] = []

        def write_on() -> None:
            with connected(server.target) as api:
                for number in range(100_000):
                    try:
                        api.send(v1.TrackRequest(user_id=f"u{number}", event="e"))
                    except grpc.RpcError:
                        return

        writer = threading.Thread(target=write_on)
        with connected(server.target) as api:
            call = follow(api)
            writer.start()
            changes = changes_of(call)
            heard += itertools.islice(changes, 51)
            began = time.monotonic()
            server.process.terminate()
            end = refused(lambda: heard.extend(changes))
            exit_code = server.stop()
            took = time.monotonic() - began
        writer.join(20)
        server.start()
        with connected(server.target) as api:
            heard += watched(api, heard[-1].cursor)
            everything = watched(api)

    assert (end.reason, exit_code) == ("SERVER_STOPPING", 0)
    assert took < SOON
    assert heard == everything


def test_a_follower_that_does_not_read_is_cut_off_when_the_drain_is_over() -> None:
    with running(DRAIN_SECONDS="0.5") as server, connected(server.target) as api:
        for batch in range(4):
            api.ingest(*(v1.TrackRequest(user_id=f"{batch}-{n}" + "x" * 200, event="e")
                         for n in range(2_000)))  # fmt: skip
        call = follow(api)
        time.sleep(0.5)

        began = time.monotonic()
        exit_code = server.stop()
        took = time.monotonic() - began
        call.cancel()

    assert exit_code == 0
    assert took < 0.5 + SOON
