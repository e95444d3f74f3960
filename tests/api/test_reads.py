"""What reads answer: people by any of their ids, and timelines page by page."""

import itertools
import json

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from support.api import Api, connected
from support.bad_calls import struct

KIND = v1.MessageKind
JSON = v1.PayloadForm.PAYLOAD_FORM_JSON
STRUCT = v1.PayloadForm.PAYLOAD_FORM_STRUCT
NOON = 1_750_000_000


def at(seconds: float) -> Timestamp:
    micros = round((NOON + seconds) * 1_000_000)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def track(message_id: str, seconds: float, event: str = "e", **ids: str) -> v1.TrackRequest:
    return v1.TrackRequest(message_id=message_id, timestamp=at(seconds), event=event, **ids)


def test_a_person_is_found_by_user_device_and_person_id(api: Api) -> None:
    receipt = api.send(
        v1.IdentifyRequest(anonymous_id="by-d", user_id="by-u", traits_json='{"plan":"pro"}')
    )

    people = [
        api.person(user_id="by-u"),
        api.person(anonymous_id="by-d"),
        api.person(person_id=receipt.person_id),
    ]

    assert people[0] == people[1] == people[2]
    assert people[0].person_id == receipt.person_id
    assert (people[0].user_id, list(people[0].user_ids)) == ("by-u", ["by-u"])
    assert list(people[0].anonymous_ids) == ["by-d"]
    assert people[0].traits_json == '{"plan":"pro"}'


def test_the_receipts_of_a_batch_name_whom_a_reader_finds_behind_it(api: Api) -> None:
    api.send(track("rb0", 1_000, anonymous_id="rb-d2", user_id="rb-u2"))

    results = api.ingest(
        track("rb1", 0, anonymous_id="rb-d1"),
        v1.IdentifyRequest(
            message_id="rb2", anonymous_id="rb-d1", user_id="rb-u1", timestamp=at(10)
        ),
        track("rb3", 100, anonymous_id="rb-d2"),
        v1.ResetRequest(message_id="rb4", anonymous_id="rb-d2", timestamp=at(200)),
    )

    first, second, third, last = (result.receipt.person_id for result in results)
    owner = api.person(user_id="rb-u1")
    assert first == second == owner.person_id
    assert third == last
    listed = {message.message_id for message in api.timeline(person_id=third)}
    assert listed == {"rb3", "rb4"}


def test_every_person_id_that_was_handed_out_goes_on_resolving(api: Api) -> None:
    handed_out = [
        api.send(track("h1", 0, anonymous_id="old-d1")).person_id,
        api.send(track("h2", 1, anonymous_id="old-d2")).person_id,
        api.send(track("h3", 2, user_id="old-u1")).person_id,
        api.send(track("h4", 3, user_id="old-u2")).person_id,
    ]
    assert len(set(handed_out)) == 4
    absorbed = []
    for request in (
        v1.IdentifyRequest(anonymous_id="old-d1", user_id="old-u1", timestamp=at(4)),
        v1.AliasRequest(previous_anonymous_id="old-d2", user_id="old-u2", timestamp=at(5)),
        v1.AliasRequest(previous_user_id="old-u1", user_id="old-u2", timestamp=at(6)),
    ):
        receipt = api.send(request)
        assert receipt.outcome == v1.Outcome.OUTCOME_LINKED
        absorbed += receipt.absorbed_person_ids

    found = {api.person(person_id=person_id).person_id for person_id in handed_out}

    assert absorbed == [handed_out[0], handed_out[1], handed_out[2]]
    assert found == {handed_out[3]}
    person = api.person(anonymous_id="old-d1")
    assert list(person.user_ids) == ["old-u2", "old-u1"]
    assert list(person.anonymous_ids) == ["old-d1", "old-d2"]
    assert (person.first_seen, person.last_seen) == (at(0), at(6))
    assert [m.message_id for m in api.timeline(person_id=handed_out[0])][:4] == [
        "h1", "h2", "h3", "h4",
    ]  # fmt: skip


def test_a_person_id_of_a_segment_that_ended_goes_on_naming_it(api: Api) -> None:
    visitor = api.send(track("s1", 0, anonymous_id="seg-d")).person_id
    ended = api.send(v1.ResetRequest(anonymous_id="seg-d", timestamp=at(1))).person_id
    later = api.send(track("s2", 2, anonymous_id="seg-d")).person_id

    assert visitor == ended != later
    assert api.person(anonymous_id="seg-d").person_id == later
    assert next(m.message_id for m in api.timeline(person_id=visitor)) == "s1"
    assert [m.message_id for m in api.timeline(person_id=later)] == ["s2"]


def test_a_batch_of_ids_is_answered_in_their_order_with_gaps_for_the_unknown(api: Api) -> None:
    for name in ("b1", "b2", "b3"):
        api.send(track(f"batch-{name}", 0, user_id=name, anonymous_id=f"d-{name}"))
    keys = [
        v1.PersonKey(user_id="b3"),
        v1.PersonKey(user_id="nowhere"),
        v1.PersonKey(anonymous_id="d-b1"),
        v1.PersonKey(anonymous_id="b2"),
        v1.PersonKey(user_id="b3"),
        v1.PersonKey(person_id="00000000-0000-0000-0000-000000000000"),
        v1.PersonKey(person_id=api.person(user_id="b2").person_id),
        v1.PersonKey(user_id="b3\x00"),
    ]

    found = api.people(*keys)

    assert [person and person.user_id for person in found] == [
        "b3", None, "b1", None, "b3", None, "b2", None,
    ]  # fmt: skip


def test_a_batch_may_be_empty_or_of_1000(api: Api) -> None:
    api.send(track("thousand", 0, user_id="thousand"))

    assert api.people() == []
    found = api.people(*[v1.PersonKey(user_id="thousand")] * 1_000)
    assert [person.user_id for person in found] == ["thousand"] * 1_000


@pytest.fixture(scope="module")
def timeline(api: Api) -> list[v1.Message]:
    """A person of two users and three devices, with ties, another user's span among them."""
    requests = [
        *(track(f"t-d1-{i:02}", i // 3, event=f"e{i % 4}", anonymous_id="t-d1") for i in range(40)),
        *(track(f"t-u1-{i:02}", i // 2, event=f"e{i % 3}", user_id="t-u1") for i in range(30)),
        *(track(f"t-d2-{i:02}", i, anonymous_id="t-d2") for i in range(20)),
        v1.IdentifyRequest(message_id="t-claim-1", timestamp=at(15), anonymous_id="t-d1",
                           user_id="t-u1", traits_json='{"a":[1,{"b":null}]}'),
        v1.IdentifyRequest(message_id="t-claim-2", timestamp=at(21), anonymous_id="t-d2",
                           user_id="t-u2"),
        v1.ResetRequest(message_id="t-reset", timestamp=at(22), anonymous_id="t-d2"),
        track("t-alien", 23, anonymous_id="t-d2"),
        v1.AliasRequest(message_id="t-link", timestamp=at(24), previous_user_id="t-u2",
                        user_id="t-u1"),
        v1.UpdateProfileRequest(message_id="t-update", timestamp=at(25), user_id="t-u2",
                                operations_json='{"increment":{"n":1},"unset":["x"]}'),
        v1.TrackRequest(message_id="t-page", timestamp=at(26), user_id="t-u1",
                        kind=KIND.MESSAGE_KIND_PAGE, properties_json='{"p":{"q":[0.5]}}'),
    ]  # fmt: skip
    assert all(result.HasField("receipt") for result in api.ingest(*requests))
    return api.timeline(user_id="t-u1")


def position(message: v1.Message) -> tuple[int, int, bool, bytes]:
    is_reset = message.kind == KIND.MESSAGE_KIND_RESET
    time = message.timestamp
    return time.seconds, time.nanos, is_reset, message.message_id.encode()


def test_a_timeline_has_all_messages_of_all_ids_in_order_and_nobody_elses(timeline) -> None:
    ids = [message.message_id for message in timeline]

    assert timeline == sorted(timeline, key=position)
    assert len(set(ids)) == len(ids) == 40 + 30 + 20 + 6
    assert "t-alien" not in ids


@pytest.mark.parametrize("size", [1, 2, 7, 95, 96, 97, 0, 100_000])
@pytest.mark.parametrize("key", [{"user_id": "t-u2"}, {"anonymous_id": "t-d1"}], ids=str)
def test_pages_of_any_size_add_up_to_the_timeline(
    api: Api, timeline, size: int, key: dict[str, str]
) -> None:
    request = v1.ListMessagesRequest(key=v1.PersonKey(**key), page_size=size, form=JSON)

    pages = list(api.pages(request))

    assert [message for page in pages for message in page] == timeline
    assert max(len(page) for page in pages) <= (size or 50)


FILTERS = [
    dict(zip(("kinds", "events", "start_time", "end_time"), choice, strict=True))
    for choice in itertools.product(
        [[], [KIND.MESSAGE_KIND_TRACK], [KIND.MESSAGE_KIND_RESET, KIND.MESSAGE_KIND_PAGE]],
        [[], ["e1", "e"]],
        [None, at(5)],
        [None, at(22), at(13.000001)],
    )
]


def matches(message: v1.Message, only: dict) -> bool:
    time = (message.timestamp.seconds, message.timestamp.nanos)
    start, end = only["start_time"], only["end_time"]
    return (
        (not only["kinds"] or message.kind in only["kinds"])
        and (not only["events"] or message.event in only["events"])
        and (start is None or (start.seconds, start.nanos) <= time)
        and (end is None or time < (end.seconds, end.nanos))
    )


@pytest.mark.parametrize("size", [3, 1_000])
def test_filters_leave_what_matches_whatever_the_page_size(api: Api, timeline, size: int) -> None:
    sizes = set()
    for only in FILTERS:
        request = v1.ListMessagesRequest(
            key=v1.PersonKey(user_id="t-u1"), page_size=size, form=JSON, **only
        )

        found = [message for page in api.pages(request) for message in page]

        assert found == [message for message in timeline if matches(message, only)], only
        sizes.add(len(found))
    assert len(sizes) > 8


def test_pages_neither_repeat_nor_skip_while_others_write(api: Api) -> None:
    before = [f"p{i:03}" for i in range(30)]
    api.ingest(*(track(name, i, user_id="paged") for i, name in enumerate(before)))
    pages = api.pages(v1.ListMessagesRequest(key=v1.PersonKey(user_id="paged"), page_size=10))
    seen = [message.message_id for message in next(pages)]

    api.ingest(track("older", -5, user_id="paged"), track("newer", 100, user_id="paged"))
    api.send(v1.AliasRequest(message_id="late", user_id="paged", previous_user_id="paged-2",
                             timestamp=at(99)))  # fmt: skip
    seen += [message.message_id for page in pages for message in page]

    assert seen == [*before, "late", "newer"]


PAYLOAD = {
    "": "", "text": "é\u2028😀\x00\x1f\"\\", "n": [0, -1, 2**53, 0.1, 1e-7, None, True, []],
    "o": {"a": {"b": {}}}, "\x00": "\x00a",
}  # fmt: skip


@pytest.mark.parametrize("sent_as", ["Struct", "JSON"])
@pytest.mark.parametrize("read_as", ["Struct", "JSON"])
def test_what_is_sent_in_either_form_is_read_in_either_form(
    api: Api, sent_as: str, read_as: str
) -> None:
    user = f"form-{sent_as}"
    as_json, as_struct = json.dumps(PAYLOAD), struct(PAYLOAD)
    if sent_as == "JSON":
        api.ingest(
            v1.TrackRequest(message_id=f"{user}-1", user_id=user, event="e",
                            properties_json=as_json, context_json=as_json, timestamp=at(0)),
            v1.IdentifyRequest(message_id=f"{user}-2", user_id=user, traits_json=as_json,
                               timestamp=at(1)),
            v1.UpdateProfileRequest(
                message_id=f"{user}-3", user_id=user, timestamp=at(2),
                operations_json=json.dumps({"setOnce": PAYLOAD, "increment": {"k": 0.5}})),
        )  # fmt: skip
    else:
        operations = v1.ProfileOperations(set_once=as_struct, increment={"k": 0.5})
        api.ingest(
            v1.TrackRequest(message_id=f"{user}-1", user_id=user, event="e",
                            properties=as_struct, context=as_struct, timestamp=at(0)),
            v1.IdentifyRequest(message_id=f"{user}-2", user_id=user, traits=as_struct,
                               timestamp=at(1)),
            v1.UpdateProfileRequest(message_id=f"{user}-3", user_id=user, timestamp=at(2),
                                    operations=operations),
        )  # fmt: skip
    form = JSON if read_as == "JSON" else STRUCT
    key = v1.PersonKey(user_id=user)

    person = api.persons.GetPerson(v1.GetPersonRequest(key=key, form=form)).person
    listed = v1.ListMessagesRequest(key=key, form=form)
    tracked, identified, updated = api.persons.ListMessages(listed).messages

    def read(message, field: str):
        chosen = message.WhichOneof(f"{field}_as")
        assert chosen == (f"{field}_json" if read_as == "JSON" else field)
        value = getattr(message, chosen)
        return json.loads(value) if read_as == "JSON" else json_format.MessageToDict(value)

    assert read(person, "traits") == PAYLOAD | {"k": 0.5}
    assert read(tracked, "properties") == read(tracked, "context") == PAYLOAD
    assert read(identified, "properties") == PAYLOAD
    assert identified.WhichOneof("context_as") is None
    operations = read(updated, "operations")
    assert operations == {"setOnce": PAYLOAD, "increment": {"k": 0.5}}


def test_a_read_sees_every_write_that_was_answered_before_it(server, api: Api) -> None:
    with connected(server.target) as other:
        for number in range(100):
            api.send(v1.UpdateProfileRequest(
                user_id="own", operations_json='{"increment":{"n":1}}'))  # fmt: skip

            assert other.person(user_id="own").traits_json == f'{{"n":{number + 1}}}'
