import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sameas import InvalidArgument, MessageKind, Outcome, Receipt, Refusal, v1
from sameas.clock import to_micros

WRITES = [
    ("identify", ("u-1", {"plan": "pro"}), {}),
    ("alias", ("u-1",), {"previous_anonymous_id": "a-1"}),
    ("track", ("Signed Up", {"price": 1.5}), {"user_id": "u-1"}),
    ("page", (), {"anonymous_id": "a-1"}),
    ("screen", ("Home",), {"anonymous_id": "a-1"}),
    ("group", ("g-1", {"size": 3}), {"user_id": "u-1"}),
    ("reset", ("a-1",), {}),
    ("update_profile", (), {"user_id": "u-1", "set": {"plan": "pro"}}),
]
READS = [
    ("person", (), {"user_id": "u-1"}),
    ("persons", ([v1.PersonKey(user_id="u-1")],), {}),
    ("messages", (), {"person_id": "p-1"}),
    ("ingest", ([],), {}),
]


def micros(stamp):
    return stamp.seconds * 1_000_000 + stamp.nanos // 1_000


@pytest.mark.parametrize(("name", "args", "kwargs"), WRITES)
async def test_a_write_answers_with_a_receipt_for_its_message_id(run, name, args, kwargs):
    receipt = await run(name, *args, **kwargs, message_id="m-1")

    assert receipt == Receipt(message_id="m-1", outcome=Outcome.LINKED, person_id="p-1")


@pytest.mark.parametrize(("name", "args", "kwargs"), WRITES)
async def test_a_write_carries_an_id_a_time_and_when_it_was_sent(run, service, name, args, kwargs):
    before = to_micros(datetime.now(UTC))
    await run(name, *args, **kwargs)
    await run(name, *args, **kwargs)

    first, second = service.requests
    assert len(first.message_id) == 36
    assert first.message_id < second.message_id
    assert before - 10_000_000 < micros(first.timestamp) < micros(first.sent_at)
    assert micros(first.sent_at) < micros(second.timestamp) < micros(second.sent_at)


@pytest.mark.parametrize(("name", "args", "kwargs"), WRITES + READS)
async def test_every_call_has_a_deadline_of_five_seconds_or_its_own(
    run, service, name, args, kwargs
):
    await run(name, *args, **kwargs)
    await run(name, *args, **kwargs, timeout=60)

    assert 3 < service.seconds_left[0] <= 5.1
    assert 55 < service.seconds_left[1] <= 60.1


@pytest.mark.parametrize(("name", "args", "kwargs"), WRITES + READS)
async def test_every_call_carries_the_key(run, service, name, args, kwargs):
    await run(name, *args, **kwargs)

    assert service.metadata[0]["authorization"] == "Bearer k-1"


async def test_arguments_reach_the_fields_of_their_messages(run, service):
    await run("identify", "u-1", {"n": 1}, anonymous_id="a-1", context={"ip": "::1"})
    await run("alias", "u-1", previous_user_id="u-0", anonymous_id="a-1")
    await run("group", "g-1", {"size": 3}, user_id="u-1", anonymous_id="a-1")
    await run("reset", "a-1", user_id="u-1")

    identify, alias, group, reset = service.requests
    assert (identify.user_id, identify.anonymous_id) == ("u-1", "a-1")
    assert (identify.traits_json, identify.context_json) == ('{"n":1}', '{"ip":"::1"}')
    assert (alias.user_id, alias.previous_user_id) == ("u-1", "u-0")
    assert alias.anonymous_id == "a-1"
    assert (group.kind, group.event) == (v1.MessageKind.MESSAGE_KIND_GROUP, "g-1")
    assert group.properties_json == '{"size":3}'
    assert (reset.anonymous_id, reset.user_id) == ("a-1", "u-1")


async def test_profile_operations_go_out_under_their_wire_names(run, service):
    await run(
        "update_profile", user_id="u-1", set={"a": 1}, set_once={"b": 2}, unset=["c"],
        increment={"d": -1}, append={"e": "x"}, union={"f": ["x"]}, remove={"g": None},
    )  # fmt: skip

    assert json.loads(service.requests[0].operations_json) == {
        "set": {"a": 1}, "setOnce": {"b": 2}, "unset": ["c"], "increment": {"d": -1},
        "append": {"e": "x"}, "union": {"f": ["x"]}, "remove": {"g": None},
    }  # fmt: skip


async def test_a_given_time_keeps_its_microseconds_and_moment(run, service):
    moment = datetime(2024, 2, 29, 12, 0, 0, 123_457, timezone(timedelta(hours=5)))
    await run("track", "E", user_id="u-1", timestamp=moment)

    assert micros(service.requests[0].timestamp) == to_micros(moment)


async def test_absent_and_empty_dicts_are_told_apart(run, service):
    await run("track", "E", user_id="u-1")
    await run("track", "E", {}, user_id="u-1")

    assert [each.WhichOneof("properties_as") for each in service.requests] == [
        None,
        "properties_json",
    ]


CIRCLE: dict = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"a": float("nan")}, "NUMBER_NOT_FINITE"),
        ({"a": [float("-inf")]}, "NUMBER_NOT_FINITE"),
        ({"a": object()}, "JSON_INVALID"),
        ({"a": datetime(2024, 1, 2, tzinfo=UTC)}, "JSON_INVALID"),
        (["a"], "JSON_INVALID"),
        ("text", "JSON_INVALID"),
        (CIRCLE, "PAYLOAD_TOO_DEEP"),
    ],
)
async def test_what_is_no_json_is_refused_before_it_is_sent(run, service, properties, reason):
    with pytest.raises(InvalidArgument) as caught:
        await run("track", "E", properties, user_id="u-1")

    assert (caught.value.reason, caught.value.field) == (reason, "properties")
    assert service.requests == []


async def test_each_json_argument_is_named_when_it_is_refused(run):
    bad = {"a": float("nan")}
    for name, args, kwargs, field in [
        ("identify", ("u-1", bad), {}, "traits"),
        ("track", ("E",), {"user_id": "u-1", "context": bad}, "context"),
        ("update_profile", (), {"user_id": "u-1", "set": bad}, "operations"),
    ]:
        with pytest.raises(InvalidArgument) as caught:
            await run(name, *args, **kwargs)
        assert caught.value.field == field


async def test_a_lone_surrogate_is_refused_and_is_no_raw_unicode_error(run):
    for call in [
        run("track", "E", user_id="\ud800"),
        run("track", "\ud800", user_id="u-1"),
        run("track", "E", {"a": "\ud800"}, user_id="u-1"),
        run("track", "E", user_id="u-1", message_id="\ud800"),
        run("track", "E", user_id="u-1", context={"a": "\ud800"}),
        run("person", user_id="\ud800"),
    ]:
        with pytest.raises(InvalidArgument):
            await call


async def test_a_time_without_a_zone_is_refused(run, service):
    with pytest.raises(InvalidArgument, match="time zone") as caught:
        await run("track", "E", user_id="u-1", timestamp=datetime(2024, 1, 1))  # noqa: DTZ001

    assert (caught.value.reason, caught.value.field) == ("TIMESTAMP_INVALID", "timestamp")
    assert service.requests == []


async def test_a_time_that_is_no_datetime_is_a_type_error(run):
    with pytest.raises(TypeError, match="timestamp"):
        await run("track", "E", user_id="u-1", timestamp=1_700_000_000)


async def test_an_alias_has_one_source(run):
    with pytest.raises(InvalidArgument):
        await run("alias", "u-1", previous_anonymous_id="a-1", previous_user_id="u-0")


async def test_a_batch_gives_one_answer_an_item_in_order(run):
    items = [
        v1.IngestItem(track=v1.TrackRequest(message_id="m-1", user_id="u-1", event="E")),
        v1.IngestItem(track=v1.TrackRequest(message_id="m-2", user_id="null", event="E")),
        v1.IngestItem(reset=v1.ResetRequest(message_id="m-1", anonymous_id="a-1")),
    ]

    kept, refused, duplicate = await run("ingest", items)

    assert isinstance(kept, Receipt)
    assert isinstance(refused, Refusal)
    assert (refused.message_id, refused.reason, refused.field) == (
        "m-2",
        "ID_BLOCKED",
        "user_id",
    )
    assert refused.code.name == "INVALID_ARGUMENT"
    assert duplicate.duplicate


async def test_items_of_a_batch_without_a_message_id_get_one(run, service):
    item = v1.IngestItem(track=v1.TrackRequest(user_id="u-1", event="E"))
    receipts = await run("ingest", [item, item])

    sent = [each.track.message_id for each in service.requests[0].items]
    assert [each.message_id for each in receipts] == sent == sorted(set(sent))
    assert item.track.message_id == ""


async def test_a_batch_beyond_the_limits_is_refused_before_it_is_sent(run, service):
    small = v1.IngestItem(track=v1.TrackRequest(user_id="u-1", event="E"))
    large = v1.IngestItem(track=v1.TrackRequest(user_id="u-1", event="E" * 2**21))

    for items in ([small] * 2_501, [large] * 2):
        with pytest.raises(InvalidArgument) as caught:
            await run("ingest", items)
        assert caught.value.reason == "BATCH_TOO_LARGE"

    assert service.requests == []


async def test_a_person_has_plain_values(run, service):
    person = v1.Person(
        person_id="p-1", user_id="u-1", user_ids=["u-1", "u-2"], anonymous_ids=["a-1"],
        traits_json='{"plan":"pro","n":1}',
    )  # fmt: skip
    person.first_seen.FromMicroseconds(1_700_000_000_123_456)
    service.answers.append(v1.GetPersonResponse(person=person))

    found = await run("person", user_id="u-1")

    assert (found.user_id, found.user_ids, found.anonymous_ids) == (
        "u-1",
        ("u-1", "u-2"),
        ("a-1",),
    )
    assert found.traits == {"plan": "pro", "n": 1}
    assert to_micros(found.first_seen) == 1_700_000_000_123_456
    assert found.last_seen is None
    assert service.requests[0].form == v1.PayloadForm.PAYLOAD_FORM_JSON


@pytest.mark.parametrize("ids", [{}, {"user_id": ""}, {"user_id": "u", "person_id": "p"}])
async def test_a_person_is_asked_for_by_exactly_one_id(run, ids):
    for name in ("person", "messages"):
        with pytest.raises(InvalidArgument):
            await run(name, **ids)


async def test_persons_answers_none_for_an_unused_id(run, service):
    service.answers.append(
        v1.BatchGetPersonsResponse(
            results=[
                v1.BatchGetPersonsResult(person=v1.Person(person_id="p-1")),
                v1.BatchGetPersonsResult(),
            ]
        )
    )

    found = await run("persons", [v1.PersonKey(user_id="a"), v1.PersonKey(user_id="b")])

    assert [each and each.person_id for each in found] == ["p-1", None]


async def test_messages_goes_on_until_there_is_no_next_page_even_after_an_empty_one(run, service):
    def page(*ids, token=""):
        messages = [v1.Message(message_id=each, kind=3, event="E") for each in ids]
        service.answers.append(v1.ListMessagesResponse(messages=messages, next_page_token=token))

    page("m-1", "m-2", token="t-1")
    page(token="t-2")
    page("m-3")

    found = await run("messages", user_id="u-1", kinds=[MessageKind.TRACK], page_size=2)

    assert [each.message_id for each in found] == ["m-1", "m-2", "m-3"]
    assert found[0].kind is MessageKind.TRACK
    assert [each.page_token for each in service.requests] == ["", "t-1", "t-2"]
    assert all(list(each.kinds) == [3] for each in service.requests)


async def test_what_a_newer_server_adds_is_unknown_and_no_error(run, service):
    receipt = v1.Receipt(outcome=99, warnings=[v1.Warning(reason=99, message="new")])
    service.answers.append(v1.TrackResponse(receipt=receipt))
    service.answers.append(v1.ListMessagesResponse(messages=[v1.Message(kind=99)]))

    answer = await run("track", "E", user_id="u-1")

    assert (answer.outcome, answer.warnings[0].reason) == (Outcome.UNKNOWN, "UNKNOWN")
    assert (await run("messages", user_id="u-1"))[0].kind is MessageKind.UNKNOWN
