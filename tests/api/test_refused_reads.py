"""How reads are refused, and bytes that are no request at all."""

import base64

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from sameas_service.domain.message import Position
from sameas_service.resolver.facts import Filter, PersonKey
from sameas_service.servicer.tokens import token_of
from support.api import METHODS, STREAM, Api, connected, refusal_of_item, refused
from support.bad_calls import MARK, nested, struct

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
KNOWN = v1.PersonKey(user_id="known")
QUESTION = (PersonKey("user", "known"), Filter())


@pytest.fixture(scope="module")
def api(server):
    with connected(server.target) as api:
        for name in ("known", "known-2"):
            api.ingest(*(v1.TrackRequest(user_id=name, event=f"e{i}") for i in range(5)))
        yield api


def listing(**fields) -> v1.ListMessagesRequest:
    return v1.ListMessagesRequest(**{"key": KNOWN} | fields)


def call(api: Api, request):
    return getattr(api.persons, type(request).__name__.removesuffix("Request"))(request)


def time(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


BAD = [
    ("get without a key", v1.GetPersonRequest(), INVALID, "ID_REQUIRED", "key"),
    ("get of an empty id", v1.GetPersonRequest(key=v1.PersonKey(user_id="")), INVALID,
     "ID_REQUIRED", "key"),
    ("list without a key", v1.ListMessagesRequest(), INVALID, "ID_REQUIRED", "key"),
    ("a batch with an empty key", v1.BatchGetPersonsRequest(keys=[KNOWN, v1.PersonKey()]),
     INVALID, "ID_REQUIRED", "keys[1]"),
    ("a batch of 1,001", v1.BatchGetPersonsRequest(keys=[KNOWN] * 1_001), INVALID,
     "BATCH_TOO_LARGE", "keys"),
    *((f"get of an unknown {by}", v1.GetPersonRequest(key=v1.PersonKey(**{by: MARK})),
       NOT_FOUND, "PERSON_NOT_FOUND", "key") for by in ("user_id", "anonymous_id", "person_id")),
    *((f"list of an unknown {by}", listing(key=v1.PersonKey(**{by: MARK})),
       NOT_FOUND, "PERSON_NOT_FOUND", "key") for by in ("user_id", "anonymous_id", "person_id")),
    ("get of an id that goes on behind NUL", v1.GetPersonRequest(
        key=v1.PersonKey(user_id="known\x00more")), NOT_FOUND, "PERSON_NOT_FOUND", "key"),
    ("get of an id of a megabyte", v1.GetPersonRequest(
        key=v1.PersonKey(user_id=MARK * 150_000)), NOT_FOUND, "PERSON_NOT_FOUND", "key"),
    ("get of a user as a device", v1.GetPersonRequest(key=v1.PersonKey(anonymous_id="known")),
     NOT_FOUND, "PERSON_NOT_FOUND", "key"),
    ("page_size -1", listing(page_size=-1), INVALID, "PAGE_SIZE_INVALID", "page_size"),
    ("page_size -2^31", listing(page_size=-(2**31)), INVALID, "PAGE_SIZE_INVALID", "page_size"),
    ("kind 0", listing(kinds=[0]), INVALID, "KIND_INVALID", "kinds"),
    ("kind 11", listing(kinds=[3, 11]), INVALID, "KIND_INVALID", "kinds"),
    ("kind -1", listing(kinds=[-1]), INVALID, "KIND_INVALID", "kinds"),
    ("end before start", listing(start_time=time(1_700_000_001), end_time=time(1_700_000_000)),
     INVALID, "TIME_RANGE_INVALID", "end_time"),
    ("start out of range", listing(start_time=time(2**62)), INVALID, "TIMESTAMP_INVALID",
     "start_time"),
    ("end with negative nanos", listing(end_time=time(1, -1)), INVALID, "TIMESTAMP_INVALID",
     "end_time"),
    *((f"page_token {token[:12]!r}", listing(page_token=token), INVALID, "PAGE_TOKEN_INVALID",
       "page_token")
      for token in (MARK, "=", "a", "é", "\x00", "W10", "e30", "bnVsbA", "A" * 10_000,
                    base64.urlsafe_b64encode(b'["x", 1, "m"]').decode())),
    *((f"a forged page_token at {at}", listing(
        page_token=token_of(Position(at, message_id), QUESTION)),
       INVALID, "PAGE_TOKEN_INVALID", "page_token")
      for at, message_id in ((2**63, "m"), (2**64 - 1, "m"), (-(2**63), "m"),
                              (True, "m"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "code", "reason", "field"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_a_bad_read_is_refused_with_reason_and_field(
    api: Api, request_, code: grpc.StatusCode, reason: str, field: str
) -> None:
    refusal = refused(call, api, request_)

    assert refusal[:3] == (code, reason, field)
    assert MARK not in refusal.sentence + str(refusal.metadata)


ANOTHER_QUESTION = [
    {"key": v1.PersonKey(user_id="known-2")},
    {"key": v1.PersonKey(anonymous_id="known")},
    {"kinds": [v1.MessageKind.MESSAGE_KIND_TRACK]},
    {"events": ["e1"]},
    {"start_time": time(1_000_000_000)},
    {"end_time": time(4_000_000_000)},
]


@pytest.mark.parametrize("other", ANOTHER_QUESTION, ids=str)
def test_a_page_token_of_another_question_is_refused(api: Api, other) -> None:
    token = api.persons.ListMessages(listing(page_size=2)).next_page_token

    refusal = refused(call, api, listing(page_token=token, **other))

    assert refusal[:3] == (INVALID, "PAGE_TOKEN_INVALID", "page_token")


def test_page_size_and_form_may_change_between_pages(api: Api) -> None:
    first = api.persons.ListMessages(listing(page_size=2))

    rest = api.persons.ListMessages(
        listing(page_size=1_000_000, page_token=first.next_page_token,
                form=v1.PayloadForm.PAYLOAD_FORM_JSON)
    )  # fmt: skip

    assert [m.event for m in (*first.messages, *rest.messages)] == [f"e{i}" for i in range(5)]
    assert not rest.next_page_token


def test_an_event_filter_that_goes_on_behind_nul_finds_nothing(api: Api) -> None:
    assert not api.persons.ListMessages(listing(events=["e1\x00x"])).messages


def test_a_time_range_that_is_empty_is_no_error(api: Api) -> None:
    same = time(1_700_000_000)

    answer = api.persons.ListMessages(listing(start_time=same, end_time=same))

    assert not answer.messages
    assert not answer.next_page_token


NO_MESSAGE = {
    "a varint cut off": b"\xff",
    "a length beyond the end": b"\x0a\x7f",
    "a group that never ends": b"\x0b" * 50,
    "the field number 0": b"\x00\x00",
    "text that is not UTF-8": b"\x0a\x02\xff\xfe",
}


@pytest.mark.parametrize("data", NO_MESSAGE.values(), ids=NO_MESSAGE.keys())
@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message_are_refused_by_every_method(
    api: Api, method: str, data: bytes
) -> None:
    refusal = refused(api.raw, method, data)

    assert refusal[:3] == (INVALID, "REQUEST_MALFORMED", "")


def test_bytes_that_are_no_message_fail_alone_in_a_stream(api: Api) -> None:
    good = v1.IngestStreamRequest(
        batch=v1.IngestRequest(items=[v1.IngestItem(track=v1.TrackRequest(user_id="s", event="e"))])
    ).SerializeToString()
    stream = api.channel.stream_stream(STREAM, None, v1.IngestStreamResponse.FromString)

    first, second, third = stream(iter([good, b"\xff", good]), timeout=20)

    assert refusal_of_item(second.error)[:3] == (INVALID, "REQUEST_MALFORMED", "")
    assert not second.results
    assert first.results[0].receipt.outcome
    assert third.results[0].receipt.outcome


def deep_bytes(levels: int) -> bytes:
    """A TrackRequest's Struct of so many levels, more than the library would make."""
    value = b""
    for _ in range(levels):
        struct_ = b"\x0a" + _sized(b"\x0a\x01a\x12" + _sized(value))
        value = b"\x2a" + _sized(struct_)
    properties = b"\x0a" + _sized(b"\x0a\x01a\x12" + _sized(value))
    return b"\x12\x01d\x42\x01e" + b"\x4a" + _sized(properties)


def _sized(data: bytes) -> bytes:
    length, varint = len(data), b""
    while length > 127:
        varint += bytes([length & 127 | 128])
        length >>= 7
    return varint + bytes([length]) + data


def test_a_struct_too_deep_for_protobuf_is_refused_and_not_a_fault(api: Api) -> None:
    method = f"{STREAM.rpartition('/')[0]}/Track"
    # The same bytes, made by hand and by the library, so that the hand is known to be right.
    by_library = v1.TrackRequest(anonymous_id="d", event="e", properties=struct(nested(4)))
    assert v1.TrackRequest.FromString(deep_bytes(3)).properties.fields["a"].HasField("struct_value")
    assert len(deep_bytes(3)) >= len(by_library.SerializeToString()) - 8

    reasons = [refused(api.raw, method, deep_bytes(levels)).reason for levels in (20, 200, 5_000)]

    assert reasons == ["PAYLOAD_TOO_DEEP", "REQUEST_MALFORMED", "REQUEST_MALFORMED"]
    assert isinstance(by_library.properties, Struct)


def test_a_request_beyond_8_mib_is_refused_by_the_transport_alone(api: Api) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        api.raw(next(iter(METHODS)), b"x" * (9 * 1_024 * 1_024))

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_method_is_unimplemented(api: Api) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        api.raw("/sameas.v1.IdentityService/Forget", b"")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
