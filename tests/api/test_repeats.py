"""A message id counts once, for ever: repeats, retries, and other content under its name."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from support.api import Api, refusal_of_item, refused
from support.bad_calls import struct

NOON = Timestamp(seconds=1_750_000_000, nanos=123_456_000)
KIND = v1.MessageKind


def track(**fields) -> v1.TrackRequest:
    whole = {
        "anonymous_id": "d", "user_id": "u", "event": "e", "timestamp": NOON,
        "properties_json": '{"a":1,"b":[2.5,"x"]}',
    }  # fmt: skip
    return v1.TrackRequest(**whole | fields)


SAME = [
    ("nothing else", {}),
    ("another sent_at", {"sent_at": Timestamp(seconds=1_750_000_060)}),
    ("another context", {"context_json": '{"ip":"::1"}'}),
    ("the keys in another order", {"properties_json": '{"b":[2.5,"x"],"a":1}'}),
    ("numbers written otherwise", {"properties_json": ' {"a":1.0,"b":[25e-1,"\\u0078"]}'}),
    ("properties as a Struct", {"properties": struct({"a": 1, "b": [2.5, "x"]})}),
    ("the kind by name", {"kind": KIND.MESSAGE_KIND_TRACK}),
    ("nanoseconds that are not kept",
     {"timestamp": Timestamp(seconds=1_750_000_000, nanos=123_456_789)}),
]  # fmt: skip

OTHER = [
    ("another kind", {"kind": KIND.MESSAGE_KIND_PAGE}),
    ("another device", {"anonymous_id": "d2"}),
    ("another user", {"user_id": "u2"}),
    ("no device", {"anonymous_id": ""}),
    ("no user", {"user_id": ""}),
    ("another event", {"event": "E"}),
    ("another value", {"properties_json": '{"a":2,"b":[2.5,"x"]}'}),
    ("true for 1", {"properties_json": '{"a":true,"b":[2.5,"x"]}'}),
    ("a list in another order", {"properties_json": '{"a":1,"b":["x",2.5]}'}),
    ("no properties", {"properties_json": ""}),
    ("a microsecond later", {"timestamp": Timestamp(seconds=NOON.seconds, nanos=123_457_000)}),
]


def without_time(request: v1.TrackRequest) -> v1.TrackRequest:
    request.ClearField("timestamp")
    return request


@pytest.mark.parametrize(("name", "fields"), SAME, ids=[name for name, _ in SAME])
def test_the_same_content_answers_with_the_first_outcome(api: Api, name: str, fields) -> None:
    own = {"message_id": f"same {name}", "anonymous_id": f"d {name}", "user_id": f"u {name}"}
    first = api.send(track(**own))

    again = api.send(track(**own | fields))
    (in_a_batch,) = api.ingest(track(**own | fields))

    assert (first.outcome, first.duplicate) == (v1.Outcome.OUTCOME_CREATED, False)
    assert (again.outcome, again.duplicate) == (v1.Outcome.OUTCOME_CREATED, True)
    assert again.person_id == first.person_id
    assert in_a_batch.receipt == again
    assert len(api.timeline(user_id=own["user_id"])) == 1


@pytest.mark.parametrize(
    "other",
    [*(track(**fields) for _, fields in OTHER), without_time(track())],
    ids=[*(name for name, _ in OTHER), "no time"],
)
def test_other_content_under_a_used_id_is_refused(api: Api, other: v1.TrackRequest) -> None:
    api.send(track(message_id="used"))
    before = api.timeline(user_id="u"), api.people(v1.PersonKey(user_id="u2"))
    other.message_id = "used"

    refusal = refused(api.send, other)
    bad, good = api.ingest(other, track(anonymous_id="", user_id="neighbour"))

    assert refusal[:4] == (
        grpc.StatusCode.ALREADY_EXISTS,
        "MESSAGE_ID_REUSED",
        "message_id",
        {"field": "message_id", "message_id": "used"},
    )
    assert refusal_of_item(bad.error) == refusal
    assert good.receipt.outcome
    assert (api.timeline(user_id="u"), api.people(v1.PersonKey(user_id="u2"))) == before


def test_an_id_that_comes_twice_in_a_batch_counts_once(api: Api) -> None:
    one = v1.UpdateProfileRequest(
        message_id="twice", user_id="counted", operations_json='{"increment":{"n":1}}'
    )
    other = v1.TrackRequest(message_id="twice", user_id="counted", event="e")

    first, second, third, fourth = api.ingest(one, one, other, one)

    assert not first.receipt.duplicate
    assert second.receipt.duplicate
    assert refusal_of_item(third.error).reason == "MESSAGE_ID_REUSED"
    assert fourth.receipt == second.receipt
    assert api.person(user_id="counted").traits_json == '{"n":1}'


def test_a_duplicate_answers_with_the_person_of_today(api: Api) -> None:
    first = api.send(v1.TrackRequest(message_id="early", anonymous_id="walker", event="e"))
    claimed = api.send(v1.IdentifyRequest(anonymous_id="walker", user_id="walker-user"))

    again = api.send(v1.TrackRequest(message_id="early", anonymous_id="walker", event="e"))

    assert first.person_id != claimed.person_id
    assert list(claimed.absorbed_person_ids) == [first.person_id]
    assert (again.duplicate, again.outcome) == (True, first.outcome)
    assert again.person_id == claimed.person_id


def test_message_ids_are_compared_byte_by_byte(api: Api) -> None:
    ids = ["case", "CASE", "case ", "cas\u00e9", "case\u0301", "casé\u200b"]

    receipts = [api.send(v1.TrackRequest(message_id=i, user_id="bytes", event="e")) for i in ids]

    assert [receipt.message_id for receipt in receipts] == ids
    assert not any(receipt.duplicate for receipt in receipts)


def test_without_a_message_id_each_call_counts_and_the_server_makes_one(api: Api) -> None:
    request = v1.TrackRequest(user_id="unnamed", event="e")

    receipts = [api.send(request), api.send(request), api.ingest(request)[0].receipt]

    assert len({receipt.message_id for receipt in receipts}) == 3
    assert [m.message_id for m in api.timeline(user_id="unnamed")] == [
        receipt.message_id for receipt in receipts
    ]
