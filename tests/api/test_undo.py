"""Merge and Unlink by their calls: both sides come back as they were."""

import itertools
import time
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from sameas_service.store.sqlite.store import open_ledger
from support.api import SECONDS, Api, at, refused
from support.changes import name_of

OUTCOME = v1.Outcome
COUNT = itertools.count()


@pytest.fixture
def ids() -> SimpleNamespace:
    """Ids that no other test uses."""
    number = next(COUNT)
    return SimpleNamespace(**{name: f"{name}-{number}" for name in ("u", "v", "w", "d", "e", "m")})


def unlink(api: Api, user: str, **other: str) -> v1.UnlinkResponse:
    return api.identity.Unlink(v1.UnlinkRequest(user_id=user, **other), timeout=SECONDS)


def merge(api: Api, user: str, previous: str, **other: Any) -> v1.Receipt:
    return api.send(v1.MergeRequest(user_id=user, previous_user_id=previous, **other))


def track(api: Api, seconds_ago: float = 0.0, **ids: str) -> v1.Receipt:
    return api.send(v1.TrackRequest(**ids, event="e", timestamp=at(seconds_ago)))


def identify(api: Api, seconds_ago: float = 0.0, traits: str = "", **ids: str) -> v1.Receipt:
    request = v1.IdentifyRequest(**ids, traits_json=traits, timestamp=at(seconds_ago))
    return api.send(request)


def sides(api: Api, *keys: dict[str, str]) -> list[tuple[v1.Person, list[v1.Message]]]:
    """All that can be read of some persons."""
    return [(api.person(**key), api.timeline(**key)) for key in keys]


def steps(chain) -> list[tuple[str, str]]:
    """The two ids of each step."""
    return [(getattr(step, step.WhichOneof("source")), step.user_id) for step in chain]


def two_people(api: Api, ids: SimpleNamespace) -> list[dict[str, str]]:
    """Two users with a device and traits of their own, some of which clash; their keys."""
    for age, user, device, traits in (
        (50, ids.u, ids.d, '{"plan":"pro","n":5,"tags":["a"]}'),
        (40, ids.v, ids.e, '{"plan":"free","n":7,"city":"Rome"}'),
    ):
        track(api, age, anonymous_id=device)
        identify(api, age - 1, traits, user_id=user, anonymous_id=device)
        api.send(
            v1.UpdateProfileRequest(
                user_id=user, timestamp=at(age - 2),
                operations_json='{"increment":{"n":1},"append":{"tags":"b"}}',
            )
        )  # fmt: skip
    return [{"user_id": ids.u}, {"user_id": ids.v}, {"anonymous_id": ids.d},
            {"anonymous_id": ids.e}]  # fmt: skip


# ---- Two users -----------------------------------------------------------------------------


def test_a_merge_links_and_names_whom_it_absorbed(api: Api, ids) -> None:
    one, other = (track(api, 9, user_id=user) for user in (ids.u, ids.v))

    response = api.identity.Merge(
        v1.MergeRequest(user_id=ids.u, previous_user_id=ids.v), timeout=SECONDS
    )

    assert response.receipt.outcome == OUTCOME.OUTCOME_LINKED
    assert response.receipt.person_id == one.person_id
    assert list(response.receipt.absorbed_person_ids) == [other.person_id]
    assert not response.HasField("preview")
    assert list(api.person(user_id=ids.v).user_ids) == [ids.u, ids.v]


def test_merge_then_unlink_gives_both_sides_back_exactly(api: Api, ids) -> None:
    keys = two_people(api, ids)
    before = sides(api, *keys)
    merge(api, ids.u, ids.v)
    joined = sides(api, *keys)

    response = unlink(api, ids.v, previous_user_id=ids.u)

    assert len({person.person_id for person, _ in joined}) == 1
    assert joined[0][0].traits_json == ('{"city":"Rome","n":8,"plan":"free","tags":["a","b","b"]}')
    assert sides(api, *keys) == before
    assert response.receipt.outcome == OUTCOME.OUTCOME_SPLIT
    assert not response.chain


def test_an_unlink_says_who_parted_and_what_moved(api: Api, ids) -> None:
    two_people(api, ids)
    first, second = api.person(user_id=ids.u), api.person(user_id=ids.v)
    merge(api, ids.u, ids.v)

    told = unlink(api, ids.u, previous_user_id=ids.v).preview

    assert sorted(name_of(change) for change in told.changes) == [
        ("anonymous_id", ids.e),
        ("user_id", ids.v),
    ]
    for change in told.changes:
        assert change.kind == v1.ChangeKind.CHANGE_KIND_SPLIT
        assert (change.former_person_id, change.person_id) == (first.person_id, second.person_id)
    moved = {(m.former_person_id, m.person_id): m.messages for m in told.moved}
    # The three of the other user and their device; the merge itself is nobody's now.
    assert moved == {(first.person_id, second.person_id): 3, (first.person_id, ""): 1}
    changed = {(t.person_id, t.trait) for t in told.traits}
    assert changed == {
        *((first.person_id, trait) for trait in ("city", "n", "plan", "tags")),
        *((second.person_id, trait) for trait in ("city", "n", "plan", "tags")),
    }


def test_person_ids_keep_resolving_after_a_merge_and_after_its_unlink(api: Api, ids) -> None:
    anonymous = track(api, 60, anonymous_id=ids.d).person_id
    second = identify(api, 50, user_id=ids.v, anonymous_id=ids.d).person_id
    first = track(api, 50, user_id=ids.u).person_id
    handed_out = (anonymous, second, first)

    merge(api, ids.u, ids.v)
    merged = [api.person(person_id=one).person_id for one in handed_out]
    unlink(api, ids.u, previous_user_id=ids.v)
    parted = [api.person(person_id=one).person_id for one in handed_out]
    unlink(api, ids.v, anonymous_id=ids.d)
    alone = [api.person(person_id=one).person_id for one in handed_out]

    assert merged == [first, first, first]
    assert parted == [second, second, first]
    assert alone == [anonymous, second, first]


@pytest.mark.parametrize("late", [False, True], ids=["now", "behind an unlink of the future"])
def test_a_merge_after_an_unlink_counts(api: Api, ids, late: bool) -> None:
    """A clock may be a minute ahead, and so may the link that the unlink has to strike."""
    ago = -30 if late else 0
    api.send(v1.AliasRequest(user_id=ids.u, previous_user_id=ids.v, timestamp=at(ago)))
    parted = unlink(api, ids.u, previous_user_id=ids.v)

    receipt = merge(api, ids.u, ids.v)

    assert parted.receipt.outcome == OUTCOME.OUTCOME_SPLIT
    assert receipt.outcome in (OUTCOME.OUTCOME_LINKED, OUTCOME.OUTCOME_CREATED)
    assert list(api.person(user_id=ids.v).user_ids) == [ids.u, ids.v]


def test_an_unlink_strikes_every_link_of_the_pair_in_both_directions(api: Api, ids) -> None:
    track(api, 99, user_id=ids.u)
    track(api, 99, user_id=ids.v)
    merge(api, ids.u, ids.v)
    api.send(v1.AliasRequest(user_id=ids.v, previous_user_id=ids.u))
    merge(api, ids.v, ids.u)

    unlink(api, ids.u, previous_user_id=ids.v)

    assert list(api.person(user_id=ids.u).user_ids) == [ids.u]
    assert list(api.person(user_id=ids.v).user_ids) == [ids.v]


def test_a_merge_of_a_user_with_itself_changes_nothing(api: Api, ids) -> None:
    track(api, 9, user_id=ids.u)

    receipt = merge(api, ids.u, ids.u)

    assert receipt.outcome == OUTCOME.OUTCOME_UNCHANGED
    assert list(api.person(user_id=ids.u).user_ids) == [ids.u]


# ---- A device and a user -------------------------------------------------------------------


def test_unlinking_a_device_gives_its_past_back_and_leaves_the_user_what_they_did(
    api: Api, ids
) -> None:
    track(api, 90, anonymous_id=ids.d)
    api.send(v1.UpdateProfileRequest(
        anonymous_id=ids.d, timestamp=at(89), operations_json='{"set":{"plan":"guest","ref":1}}'
    ))  # fmt: skip
    track(api, 88, user_id=ids.u)
    device, user = sides(api, {"anonymous_id": ids.d}, {"user_id": ids.u})
    claim = identify(api, 80, '{"plan":"pro"}', user_id=ids.u, anonymous_id=ids.d)
    later = track(api, 70, anonymous_id=ids.d)
    assert api.person(user_id=ids.u).traits_json == '{"plan":"pro","ref":1}'

    response = unlink(api, ids.u, anonymous_id=ids.d)

    assert response.receipt.outcome == OUTCOME.OUTCOME_SPLIT
    person, timeline = sides(api, {"anonymous_id": ids.d})[0]
    assert person.person_id == device[0].person_id
    assert person.traits_json == '{"plan":"guest","ref":1}'
    assert timeline[:2] == device[1]
    assert [m.message_id for m in timeline[2:]] == [later.message_id]
    mine = api.person(user_id=ids.u)
    assert (mine.traits_json, list(mine.anonymous_ids)) == ('{"plan":"pro"}', [])
    assert [m.message_id for m in api.timeline(user_id=ids.u)] == [
        user[1][0].message_id, claim.message_id,
    ]  # fmt: skip


def test_a_late_claim_of_before_the_unlink_stays_struck_and_a_later_one_counts(
    api: Api, ids
) -> None:
    identify(api, 60, user_id=ids.u, anonymous_id=ids.d)
    unlink(api, ids.u, anonymous_id=ids.d)

    late = identify(api, 30, user_id=ids.u, anonymous_id=ids.d)
    anonymous = track(api, 20, anonymous_id=ids.d)
    apart = api.person(anonymous_id=ids.d).person_id != api.person(user_id=ids.u).person_id
    again = identify(api, 0, user_id=ids.u, anonymous_id=ids.d)

    assert late.outcome == OUTCOME.OUTCOME_UNCHANGED
    assert apart
    assert again.outcome == OUTCOME.OUTCOME_LINKED
    assert list(again.absorbed_person_ids) == [anonymous.person_id]
    assert api.person(anonymous_id=ids.d).person_id == api.person(user_id=ids.u).person_id


def test_an_unlink_reaches_claims_of_a_clock_that_is_ahead(api: Api, ids) -> None:
    track(api, 9, anonymous_id=ids.d)
    identify(api, -40, user_id=ids.u, anonymous_id=ids.d)

    response = unlink(api, ids.u, anonymous_id=ids.d)

    assert response.receipt.outcome == OUTCOME.OUTCOME_SPLIT
    assert not api.person(anonymous_id=ids.d).user_id


def test_the_past_of_a_shared_device_passes_to_the_next_who_claimed_it(api: Api, ids) -> None:
    visit = track(api, 5_000, anonymous_id=ids.d)
    identify(api, 4_900, user_id=ids.u, anonymous_id=ids.d)
    identify(api, 0, user_id=ids.v, anonymous_id=ids.d)

    told = unlink(api, ids.u, anonymous_id=ids.d).preview

    assert visit.message_id in {m.message_id for m in api.timeline(user_id=ids.v)}
    (change,) = told.changes
    assert (name_of(change), change.kind) == (
        ("anonymous_id", ids.d), v1.ChangeKind.CHANGE_KIND_PAST,
    )  # fmt: skip
    assert change.person_id == api.person(user_id=ids.v).person_id


# ---- Nothing to part -----------------------------------------------------------------------


def test_users_linked_through_a_third_stay_and_the_chain_is_named(api: Api, ids) -> None:
    merge(api, ids.w, ids.u)
    merge(api, ids.w, ids.v)

    response = unlink(api, ids.u, previous_user_id=ids.v)

    assert response.receipt.outcome == OUTCOME.OUTCOME_UNCHANGED
    assert not response.preview.changes
    assert [set(step) for step in steps(response.chain)] == [{ids.v, ids.w}, {ids.u, ids.w}]
    assert list(api.person(user_id=ids.u).user_ids) == [ids.w, ids.u, ids.v]


def test_a_device_that_another_user_of_the_person_claimed_stays_and_the_chain_is_named(
    api: Api, ids
) -> None:
    identify(api, 9, user_id=ids.v, anonymous_id=ids.d)
    merge(api, ids.u, ids.v)

    response = unlink(api, ids.u, anonymous_id=ids.d)

    assert response.receipt.outcome == OUTCOME.OUTCOME_UNCHANGED
    assert steps(response.chain) == [(ids.d, ids.v), (ids.v, ids.u)]
    assert api.person(anonymous_id=ids.d).user_id == ids.u


def test_a_pair_that_is_parted_and_yet_one_person_is_told_by_what(api: Api, ids) -> None:
    merge(api, ids.u, ids.v)
    merge(api, ids.w, ids.u)
    merge(api, ids.w, ids.v)

    response = unlink(api, ids.u, previous_user_id=ids.v)

    assert response.receipt.outcome == OUTCOME.OUTCOME_SPLIT
    assert [set(step) for step in steps(response.chain)] == [{ids.v, ids.w}, {ids.u, ids.w}]


def test_an_unlink_of_ids_that_nobody_used_makes_nobody(api: Api, ids) -> None:
    by_user = unlink(api, ids.u, previous_user_id=ids.v)
    by_device = unlink(api, ids.u, anonymous_id=ids.d)

    for response in (by_user, by_device):
        assert response.receipt.outcome == OUTCOME.OUTCOME_UNCHANGED
        assert response.preview == v1.Preview()
        assert not response.chain
    keys = [v1.PersonKey(user_id=ids.u), v1.PersonKey(user_id=ids.v),
            v1.PersonKey(anonymous_id=ids.d)]  # fmt: skip
    assert api.people(*keys) == [None, None, None]


# ---- Repeats, times and reasons ------------------------------------------------------------


def test_a_merge_repeated_after_an_unlink_is_a_duplicate_and_merges_nobody(api: Api, ids) -> None:
    track(api, 9, user_id=ids.u)
    track(api, 9, user_id=ids.v)
    first = merge(api, ids.u, ids.v, message_id=ids.m)
    unlink(api, ids.u, previous_user_id=ids.v)

    again = merge(api, ids.u, ids.v, message_id=ids.m)

    assert (first.outcome, first.duplicate) == (OUTCOME.OUTCOME_LINKED, False)
    assert (again.outcome, again.duplicate) == (OUTCOME.OUTCOME_LINKED, True)
    assert again.person_id == first.person_id == api.person(user_id=ids.u).person_id
    assert list(api.person(user_id=ids.u).user_ids) == [ids.u]


def test_an_unlink_repeated_after_a_merge_is_a_duplicate_and_parts_nobody(api: Api, ids) -> None:
    merge(api, ids.u, ids.v)
    first = unlink(api, ids.u, previous_user_id=ids.v, message_id=ids.m)
    merge(api, ids.u, ids.v)

    again = unlink(api, ids.u, previous_user_id=ids.v, message_id=ids.m)

    assert (first.receipt.outcome, first.receipt.duplicate) == (OUTCOME.OUTCOME_SPLIT, False)
    assert (again.receipt.outcome, again.receipt.duplicate) == (OUTCOME.OUTCOME_SPLIT, True)
    assert again.receipt.person_id == first.receipt.person_id
    assert not again.preview.changes
    assert list(api.person(user_id=ids.u).user_ids) == [ids.u, ids.v]


def test_an_unlink_answers_with_the_users_person_of_today(api: Api, ids) -> None:
    """Also when it is repeated, and when nobody else ever named the user."""
    fresh = unlink(api, ids.u, anonymous_id=ids.d, message_id=ids.m)
    again = unlink(api, ids.u, anonymous_id=ids.d, message_id=ids.m)
    claim = identify(api, 0, user_id=ids.u, anonymous_id=ids.d)
    merged = merge(api, ids.v, ids.u)
    later = unlink(api, ids.u, anonymous_id=ids.d, message_id=ids.m)

    assert fresh.receipt.person_id == again.receipt.person_id == claim.person_id
    assert later.receipt.person_id == merged.person_id != claim.person_id
    assert later.receipt.duplicate


@pytest.mark.parametrize("call", ["Merge", "Unlink"])
def test_other_content_under_a_used_id_is_refused(api: Api, ids, call: str) -> None:
    request = getattr(v1, f"{call}Request")
    fields = {"message_id": ids.m, "user_id": ids.u, "previous_user_id": ids.v, "reason": "r"}
    api.send(request(**fields))

    for other in ({"reason": "other"}, {"user_id": ids.w}, {"previous_user_id": ids.w},
                  {"user_id": ids.v, "previous_user_id": ids.u}):  # fmt: skip
        refusal = refused(api.send, request(**fields | other))
        assert refusal[:2] == (grpc.StatusCode.ALREADY_EXISTS, "MESSAGE_ID_REUSED")
    assert refused(api.send, v1.TrackRequest(message_id=ids.m, user_id=ids.u, event="e"))[1] == (
        "MESSAGE_ID_REUSED"
    )


def test_the_time_in_a_live_call_does_not_count(api: Api, ids) -> None:
    old, other = Timestamp(seconds=1_000_000_000), Timestamp(seconds=1_100_000_000)
    fields = {"user_id": ids.u, "previous_user_id": ids.v}
    now = time.time()

    merged = api.send(v1.MergeRequest(message_id=ids.m, timestamp=old, **fields))
    again = api.send(v1.MergeRequest(message_id=ids.m, timestamp=other, **fields))
    (message,) = api.timeline(user_id=ids.u)
    parted = api.send(v1.UnlinkRequest(timestamp=old, **fields))

    assert not merged.duplicate
    assert again.duplicate
    assert abs(message.timestamp.seconds - now) < 20
    assert parted.outcome == OUTCOME.OUTCOME_SPLIT


def test_the_reason_of_a_merge_stands_in_the_timeline_and_that_of_an_unlink_in_the_ledger(
    server, api: Api, ids
) -> None:
    merge(api, ids.u, ids.v, reason="same passport ✓")
    (shown,) = api.timeline(user_id=ids.v)
    parted = unlink(api, ids.u, previous_user_id=ids.v, reason="twins", message_id=ids.m)

    assert shown.kind == v1.MessageKind.MESSAGE_KIND_MERGE
    assert (shown.user_id, shown.previous_user_id) == (ids.u, ids.v)
    assert shown.properties_json == '{"reason":"same passport ✓"}'
    assert parted.receipt.message_id == ids.m
    with open_ledger(server.data) as reader:
        workspace = reader.workspace("default")
        ((_, kept),) = reader.messages_after(workspace, reader.number_of(workspace, ids.m) - 1, 1)
    assert kept.payload == '{"reason":"twins"}'
    assert (kept.user, kept.source) == (ids.u, ids.v)


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (v1.MergeRequest(previous_user_id="x"), "ID_REQUIRED", "user_id"),
        (v1.MergeRequest(user_id="x"), "ID_REQUIRED", "previous_user_id"),
        (v1.MergeRequest(user_id="x", previous_user_id="null"), "ID_BLOCKED", "previous_user_id"),
        (v1.MergeRequest(user_id="0", previous_user_id="x"), "ID_BLOCKED", "user_id"),
        (v1.MergeRequest(user_id="x", previous_user_id="y" * 257), "ID_TOO_LONG",
         "previous_user_id"),
        (v1.MergeRequest(user_id="x", previous_user_id="y", message_id="m\n"),
         "CONTROL_CHARACTER", "message_id"),
        (v1.MergeRequest(user_id="x", previous_user_id="y", reason="é" * 512 + "x"),
         "PAYLOAD_TOO_LARGE", "reason"),
        (v1.UnlinkRequest(anonymous_id="x"), "ID_REQUIRED", "user_id"),
        (v1.UnlinkRequest(user_id="x"), "ID_REQUIRED", "previous_user_id"),
        (v1.UnlinkRequest(user_id="x", anonymous_id=""), "ID_REQUIRED", "previous_user_id"),
        (v1.UnlinkRequest(user_id="x", anonymous_id=" "), "ID_BLOCKED", "anonymous_id"),
        (v1.UnlinkRequest(user_id="x", anonymous_id="y", reason="x" * 1_025),
         "PAYLOAD_TOO_LARGE", "reason"),
    ],
)  # fmt: skip
def test_a_pair_that_is_none_is_refused(api: Api, request_, reason: str, field: str) -> None:
    for validate_only in (False, True):
        request_.validate_only = validate_only
        refusal = refused(api.send, request_)

        assert refusal[:3] == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)
    assert api.people(v1.PersonKey(user_id="x"), v1.PersonKey(user_id="y")) == [None, None]


def test_a_reason_may_have_1024_bytes(api: Api, ids) -> None:
    receipt = merge(api, ids.u, ids.v, reason="é" * 512)

    assert receipt.outcome
    assert ("é" * 512) in api.timeline(user_id=ids.u)[0].properties_json
