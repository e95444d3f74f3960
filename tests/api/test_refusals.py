"""What is refused, and how: alone, in a batch, and with nothing of it kept."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from support.api import Api, refusal_of_item, refused
from support.bad_calls import (
    BAD_CALLS,
    DEVICE,
    IDS,
    MARK,
    OTHER_DEVICE,
    OTHER_USER,
    USER,
    Bad,
    track,
)
from support.good_calls import AT_THE_LIMIT

INVALID = grpc.StatusCode.INVALID_ARGUMENT

# From field/peers.md, section 2(g): PostHog's, Mixpanel's and Segment's.
POSTHOG_ANY_CASE = [
    "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated", "email",
    "undefined", "true", "false",
]  # fmt: skip
POSTHOG_CASED = ["[object Object]", "NaN", "None", "none", "null", "0", "undefined"]
MIXPANEL = [
    "00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a",
    "na", "undefined", "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}",
]  # fmt: skip
SEGMENT = ["0", "000", "-", "--", "0-0", "00-00", "-1", "null", "anonymous"]
BLANK = [" ", "   ", "\u00a0", "\u2003", "\u3000", "''", '""', '" "']
POSTHOG = POSTHOG_ANY_CASE + POSTHOG_CASED
NOBODY = {
    *POSTHOG, *MIXPANEL, *SEGMENT, *BLANK,
    *(word.upper() for word in POSTHOG_ANY_CASE),
    *(word.title() for word in POSTHOG_ANY_CASE),
    *(f"'{word}'" for word in POSTHOG),
    *(f'"{word}"' for word in POSTHOG),
    *(f" {word} " for word in POSTHOG + MIXPANEL),
}  # fmt: skip
SOMEBODY = [
    "nullable", "ident", "0a", "-2", "00000000-0000-0000-0000-000000000001", "anonymous-1", "O",
    "truest", "[0]", "{1}", "'", "n", "1", "noneother", "guest@example.com", "null null", "名無し",
]  # fmt: skip


@pytest.fixture(scope="module")
def kept(api: Api):
    """Two people, of whom the bad calls speak; gives what is read of them."""
    api.ingest(
        v1.IdentifyRequest(user_id=USER, anonymous_id=DEVICE, traits_json='{"plan":"pro"}'),
        v1.IdentifyRequest(user_id=OTHER_USER, anonymous_id=OTHER_DEVICE),
        v1.UpdateProfileRequest(user_id=USER, operations_json='{"increment":{"a":1}}'),
    )

    def read():
        keys = [{"user_id": USER}, {"user_id": OTHER_USER}]
        keys += [{"anonymous_id": DEVICE}, {"anonymous_id": OTHER_DEVICE}]
        people = api.people(*(v1.PersonKey(**key) for key in keys))
        return people, [m.message_id for key in keys for m in api.timeline(**key)]

    return read


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: bad.name)
def test_a_bad_call_is_refused_with_reason_and_field_and_leaves_no_trace(
    api: Api, kept, bad: Bad
) -> None:
    before = kept()

    refusal = refused(api.send, bad.request)

    assert refusal[:3] == (INVALID, bad.reason, bad.field)
    assert MARK not in refusal.sentence + str(refusal.metadata)
    assert kept() == before


def test_bad_items_fail_alone_with_what_a_call_of_their_own_would_say(api: Api, kept) -> None:
    before = kept()
    neighbours = [v1.TrackRequest(user_id=f"neighbour-{i}", event="e") for i in range(200)]
    wanted = {}
    found = {}

    for start in range(0, len(BAD_CALLS), 100):
        bad = BAD_CALLS[start : start + 100]
        mixed = [each for pair in zip(neighbours, bad, strict=False) for each in pair]
        requests = [one.request if isinstance(one, Bad) else one for one in mixed]
        results = api.ingest(*requests, v1.TrackRequest(user_id="last", event="e"))
        assert [r.WhichOneof("result") for r in results[::2]] == ["receipt"] * (len(bad) + 1)
        assert not any(r.receipt.duplicate for r in results[::2])
        for one, result in zip(bad, results[1::2], strict=True):
            found[one.name] = refusal_of_item(result.error)
            wanted[one.name] = refused(api.send, one.request)

    assert found == wanted
    assert len(found) == len(BAD_CALLS)
    assert kept() == before


@pytest.mark.parametrize(("field", "fill"), IDS)
def test_ids_that_name_nobody_are_refused_wherever_they_stand(
    api: Api, kept, field: str, fill
) -> None:
    before = kept()
    words = sorted(NOBODY)

    results = api.ingest(*(fill(word) for word in words))
    alone = [refused(api.send, fill(word)) for word in words[:: len(words) // 8]]

    found = [refusal_of_item(result.error)[:3] for result in results]
    assert dict(zip(words, found, strict=True)) == dict.fromkeys(
        words, (INVALID, "ID_BLOCKED", field)
    )
    # One sentence for all of them: it repeats no id.
    assert len({result.error.message for result in results} | {a.sentence for a in alone}) == 1
    assert {refusal[:3] for refusal in alone} == {(INVALID, "ID_BLOCKED", field)}
    assert kept() == before


def test_ids_that_only_look_like_nobody_are_taken(api: Api) -> None:
    results = api.ingest(*(v1.TrackRequest(user_id=i, anonymous_id=i, event="e") for i in SOMEBODY))

    assert {i: r.error.message for i, r in zip(SOMEBODY, results, strict=True)} == dict.fromkeys(
        SOMEBODY, ""
    )


@pytest.mark.parametrize(("name", "request_"), AT_THE_LIMIT, ids=[name for name, _ in AT_THE_LIMIT])
def test_what_lies_at_a_limit_is_taken(api: Api, name: str, request_) -> None:
    receipt = api.send(request_)

    assert receipt.outcome
    assert not receipt.duplicate


def test_the_limits_stand_in_the_metadata(api: Api) -> None:
    limits = {
        "ID_TOO_LONG": {"max_bytes": "256"},
        "EVENT_TOO_LONG": {"max_bytes": "256"},
        "PAYLOAD_TOO_LARGE": {"max_bytes": "32768"},
        "PAYLOAD_TOO_DEEP": {"max_depth": "16"},
        "OPERATIONS_TOO_MANY": {"max_operations": "1000"},
    }
    for bad in {bad.reason: bad for bad in BAD_CALLS if bad.reason in limits}.values():
        refusal = refused(api.send, bad.request)

        assert refusal.metadata == {"field": bad.field} | limits[bad.reason]


ITEMS = [
    ("without a call", v1.IngestItem(), False, "CALL_REQUIRED", "call"),
    ("a merge outside an import", v1.IngestItem(
        merge=v1.MergeRequest(user_id=USER, previous_user_id=OTHER_USER)),
        False, "CALL_REQUIRED", "merge"),
    ("an unlink outside an import", v1.IngestItem(
        unlink=v1.UnlinkRequest(user_id=USER, anonymous_id=DEVICE)),
        False, "CALL_REQUIRED", "unlink"),
    ("a merge without a source", v1.IngestItem(merge=v1.MergeRequest(user_id=USER)),
        True, "ID_REQUIRED", "previous_user_id"),
    ("a merge of nobody", v1.IngestItem(
        merge=v1.MergeRequest(user_id=USER, previous_user_id="null")),
        True, "ID_BLOCKED", "previous_user_id"),
    ("a merge with a long reason", v1.IngestItem(merge=v1.MergeRequest(
        user_id=USER, previous_user_id=OTHER_USER, reason="é" * 513)),
        True, "PAYLOAD_TOO_LARGE", "reason"),
    ("an unlink without another", v1.IngestItem(unlink=v1.UnlinkRequest(user_id=USER)),
        True, "ID_REQUIRED", "previous_user_id"),
    ("received out of range", v1.IngestItem(
        track=track(), received_at=Timestamp(seconds=253_402_300_800)),
        True, "TIMESTAMP_INVALID", "received_at"),
    ("received before 2000, without a time", v1.IngestItem(
        track=track(), received_at=Timestamp(seconds=900_000_000)),
        True, "TIMESTAMP_INVALID", "timestamp"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "imported", "reason", "field"), [i[1:] for i in ITEMS], ids=[i[0] for i in ITEMS]
)
def test_a_bad_item_that_no_call_of_its_own_can_be(
    api: Api, kept, item: v1.IngestItem, imported: bool, reason: str, field: str
) -> None:
    before = kept()

    bad, good = api.ingest(item, v1.TrackRequest(user_id="n", event="e"), imported=imported)

    assert refusal_of_item(bad.error)[:3] == (INVALID, reason, field)
    assert good.receipt.outcome
    assert kept() == before


def batch_of_bytes(size: int) -> v1.IngestRequest:
    """A good batch that is exactly so large on the wire."""
    batch = v1.IngestRequest()
    while size - batch.ByteSize() > 60_000:
        batch.items.add(track=v1.TrackRequest(user_id="n", event="e", properties_json=" " * 40_000))
    last = batch.items.add(track=v1.TrackRequest(user_id="n", event="e"))
    last.track.properties_json = " " * 20_000
    last.track.properties_json = " " * (20_000 + size - batch.ByteSize())
    for item in batch.items:
        item.track.properties_json = "{}" + item.track.properties_json[2:]
    assert batch.ByteSize() == size
    return batch


def test_a_batch_of_2500_messages_and_one_of_4_mib_are_taken(api: Api) -> None:
    many = [v1.TrackRequest(user_id="n", event="e")] * 2_500
    large = batch_of_bytes(4 * 1_024 * 1_024)

    assert all(result.HasField("receipt") for result in api.ingest(*many))
    answer = api.identity.Ingest(large)
    assert {result.WhichOneof("result") for result in answer.results} == {"receipt"}


def test_a_larger_batch_is_refused_as_a_whole(api: Api, kept) -> None:
    before = kept()
    too_many = v1.IngestRequest(items=[v1.IngestItem(track=track())] * 2_501)
    too_large = batch_of_bytes(4 * 1_024 * 1_024 + 1)
    limits = {"max_messages": "2500", "max_bytes": "4194304"}

    for batch in (too_many, too_large):
        refusal = refused(api.identity.Ingest, batch)

        assert refusal[:4] == (INVALID, "BATCH_TOO_LARGE", "", limits)
    assert kept() == before


def test_a_batch_sent_at_no_time_is_refused_as_a_whole(api: Api, kept) -> None:
    before = kept()
    batch = v1.IngestRequest(items=[v1.IngestItem(track=track())], sent_at=Timestamp(nanos=-1))

    refusal = refused(api.identity.Ingest, batch)

    assert refusal[:3] == (INVALID, "TIMESTAMP_INVALID", "sent_at")
    assert kept() == before


def test_an_empty_batch_has_no_results(api: Api) -> None:
    assert api.ingest() == []


def test_a_refusal_is_a_refusal_whatever_was_accepted_before(api: Api) -> None:
    good = track(user_id="steady", anonymous_id="", message_id="steady-1", event="e")
    api.send(good)
    bad = track(user_id="null", anonymous_id="", message_id="steady-1", event="e")

    assert refused(api.send, bad).reason == "ID_BLOCKED"
    assert api.send(good).duplicate
