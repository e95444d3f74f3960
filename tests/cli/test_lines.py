import json
from pathlib import Path

import orjson
import pytest

from sameas import v1
from sameas_service.cli.lines import LineError, item_of
from sameas_service.cli.times import text_of
from sameas_service.cli.writing import message_fields

SHARED = Path(__file__).parents[2].parent / "shared"


def item(**fields):
    return item_of(json.dumps(fields).encode())


def call_of(taken):
    return getattr(taken, taken.WhichOneof("call"))


def call(**fields):
    return call_of(item(messageId="m1", **fields))


def refusal(line):
    with pytest.raises(LineError) as caught:
        item_of(line if isinstance(line, bytes) else json.dumps(line).encode())
    return caught.value


def test_a_track_carries_all_its_words():
    taken = item(
        type="track",
        messageId="m1",
        anonymousId="a1",
        userId="u1",
        event="Signed Up",
        properties={"n": 1},
        context={"ip": "::1"},
        timestamp="2024-01-04T11:45:38.000Z",
        sentAt="2024-01-04T11:45:39Z",
        receivedAt="2024-01-04T11:45:40Z",
        integrations={"All": True},
    )

    track = taken.track
    assert (track.message_id, track.anonymous_id, track.user_id) == ("m1", "a1", "u1")
    assert track.kind == v1.MessageKind.MESSAGE_KIND_TRACK
    assert track.event == "Signed Up"
    assert track.properties_json == '{"n":1}'
    assert track.context_json == '{"ip":"::1"}'
    assert text_of(track.timestamp) == "2024-01-04T11:45:38.000Z"
    assert text_of(track.sent_at) == "2024-01-04T11:45:39.000Z"
    assert text_of(taken.received_at) == "2024-01-04T11:45:40.000Z"


def test_null_and_empty_mean_absent():
    absent = dict.fromkeys(
        ["anonymousId", "event", "properties", "context", "timestamp", "sentAt", "receivedAt"]
    )

    with_nulls = item(type="track", messageId="m1", userId="u1", **absent)
    with_empties = item(type="track", messageId="m1", userId="u1", **dict.fromkeys(absent, ""))
    without = item(type="track", messageId="m1", userId="u1")

    assert with_nulls == with_empties == without
    assert not without.HasField("received_at")
    assert not without.track.HasField("timestamp")
    assert without.track.WhichOneof("properties_as") is None


def test_an_empty_object_is_not_absent():
    assert call(type="track", userId="u1", event="e", properties={}).properties_json == "{}"


def test_an_identify_has_its_traits():
    assert call(type="identify", userId="u1", traits={"a": None}).traits_json == '{"a":null}'


def test_the_traits_in_the_context_count_where_there_are_no_others():
    rudder = call(type="identify", userId="u1", context={"traits": {"a": 1}})
    both = call(type="identify", userId="u1", traits={"b": 2}, context={"traits": {"a": 1}})

    assert rudder.traits_json == '{"a":1}'
    assert rudder.context_json == '{"traits":{"a":1}}'
    assert both.traits_json == '{"b":2}'


def test_an_alias_from_previous_id_names_a_device():
    alias = call(type="alias", userId="u1", previousId="a1", anonymousId="a2")

    assert alias.previous_anonymous_id == "a1"
    assert alias.anonymous_id == "a2"
    assert alias.WhichOneof("source") == "previous_anonymous_id"


def test_an_alias_from_previous_user_id_names_a_user():
    assert call(type="alias", userId="u1", previousUserId="u0").previous_user_id == "u0"


def test_an_alias_without_a_source_is_left_to_the_server():
    assert call(type="alias", userId="u1").WhichOneof("source") is None


@pytest.mark.parametrize(
    ("fields", "event", "properties"),
    [
        ({"name": "Home", "properties": {"url": "/"}}, "Home", {"url": "/"}),
        ({"name": "Home"}, "Home", None),
        ({"properties": {"url": "/"}}, "", {"url": "/"}),
        ({"event": "Main"}, "Main", None),
        ({"name": "Home", "category": "c"}, "Home", {"category": "c"}),
        ({"category": "c", "properties": {"category": "d"}}, "", {"category": "d"}),
        ({"name": "Home", "category": None, "properties": {}}, "Home", {}),
    ],
)
@pytest.mark.parametrize("kind", ["page", "screen"])
def test_a_view_has_its_name_as_event_and_its_category_as_property(kind, fields, event, properties):
    view = call(type=kind, userId="u1", **fields)

    assert view.kind == v1.MessageKind.Value(f"MESSAGE_KIND_{kind.upper()}")
    assert view.event == event
    if properties is None:
        assert view.WhichOneof("properties_as") is None
    else:
        assert orjson.loads(view.properties_json) == properties


def test_a_group_has_its_id_as_event_and_its_traits_as_properties():
    group = call(type="group", userId="u1", groupId="g1", traits={"name": "x"})

    assert group.kind == v1.MessageKind.MESSAGE_KIND_GROUP
    assert group.event == "g1"
    assert group.properties_json == '{"name":"x"}'


def test_a_reset_names_the_device_and_may_name_the_user():
    reset = call(type="reset", anonymousId="a1", userId="u1")

    assert (reset.anonymous_id, reset.user_id) == ("a1", "u1")


def test_a_profile_carries_the_operations_that_it_has():
    operations = {
        "set": {"a": 1},
        "setOnce": {"b": 2},
        "unset": ["c"],
        "increment": {"d": 1.5},
        "append": {"e": "x"},
        "union": {"f": ["x"]},
        "remove": {"g": "y"},
    }

    assert orjson.loads(call(type="profile", userId="u1", **operations).operations_json) == (
        operations
    )
    some = call(type="profile", userId="u1", set=None, unset=["c"])
    assert some.operations_json == '{"unset":["c"]}'


def test_a_merge_and_an_unlink_are_taken_as_they_stand():
    words = {"userId": "u1", "reason": "same man", "timestamp": "2024-01-04T11:45:38Z"}

    merge = call(type="merge", previousUserId="u0", **words)
    of_device = call(type="unlink", anonymousId="a1", **words)
    of_users = call(type="unlink", previousUserId="u0", **words)

    assert (merge.user_id, merge.previous_user_id, merge.reason) == ("u1", "u0", "same man")
    assert (of_device.user_id, of_device.anonymous_id) == ("u1", "a1")
    assert of_users.WhichOneof("other") == "previous_user_id"
    for each in (merge, of_device, of_users):
        assert text_of(each.timestamp) == "2024-01-04T11:45:38.000Z"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-01-04T11:45:38Z", "2024-01-04T11:45:38.000Z"),
        ("2024-01-04T11:45:38.123456Z", "2024-01-04T11:45:38.123456Z"),
        ("2024-01-04T11:45:38.123456789Z", "2024-01-04T11:45:38.123456Z"),
        ("2024-01-04T11:45:38.5+02:00", "2024-01-04T09:45:38.500Z"),
        ("2024-01-04T11:45:38", "2024-01-04T11:45:38.000Z"),
        ("2024-01-04 11:45:38.25", "2024-01-04T11:45:38.250Z"),
        ("2024-01-04t11:45:38z", "2024-01-04T11:45:38.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        (1704368738, "2024-01-04T11:45:38.000Z"),
        (1704368738.25, "2024-01-04T11:45:38.250Z"),
        (1704368738000, "2024-01-04T11:45:38.000Z"),
        (1704368738123.5, "2024-01-04T11:45:38.123500Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_rfc_3339_or_a_number_of_seconds_or_milliseconds(given, expected):
    assert text_of(call(type="track", userId="u1", timestamp=given).timestamp) == expected


@pytest.mark.parametrize(
    "given",
    ["yesterday", "2024-01-04", "2024-13-04T11:45:38Z", "1704368738000", True, [], {}, 1e15],
)
@pytest.mark.parametrize("word", ["timestamp", "originalTimestamp", "sentAt", "receivedAt"])
def test_what_is_no_time_is_refused_by_its_field(word, given):
    error = refusal({"type": "track", "userId": "u1", word: given})

    assert (error.reason, error.field) == ("TIMESTAMP_INVALID", word)


@pytest.mark.parametrize(
    ("sent", "received", "event"),
    [
        # The clock was an hour behind: what happened 2 s before it sent did so here too.
        ("2024-01-04T10:00:02Z", "2024-01-04T11:00:02Z", "2024-01-04T11:00:00.000Z"),
        ("2024-01-04T10:00:02Z", "2024-01-04T10:01:02.000001Z", "2024-01-04T10:01:00.000001Z"),
        # At most a minute is the network's.
        ("2024-01-04T10:00:02Z", "2024-01-04T10:01:02Z", "2024-01-04T10:00:00.000Z"),
        ("2024-01-04T10:01:02Z", "2024-01-04T10:00:02Z", "2024-01-04T10:00:00.000Z"),
        (None, "2024-01-04T11:00:02Z", "2024-01-04T10:00:00.000Z"),
        ("2024-01-04T10:00:02Z", None, "2024-01-04T10:00:00.000Z"),
    ],
)
def test_only_an_original_timestamp_is_corrected_by_the_lines_own_times(sent, received, event):
    own = "2024-01-04T10:00:00Z"
    both = {"type": "track", "userId": "u1", "sentAt": sent, "receivedAt": received}

    assert text_of(call(originalTimestamp=own, **both).timestamp) == event
    assert text_of(call(timestamp=own, originalTimestamp=own, **both).timestamp) == (
        "2024-01-04T10:00:00.000Z"
    )


def test_the_clients_own_time_goes_along_where_another_one_counts():
    """So that a later repeat by the client is told from another message."""
    own, counted = "2024-01-04T10:00:00Z", "2024-01-04T11:00:00Z"
    sent, received = "2024-01-04T10:00:02Z", "2024-01-04T11:00:02Z"
    line = {"type": "track", "userId": "u1", "originalTimestamp": own}

    given = item(**line, timestamp=counted)
    corrected = item(**line, sentAt=sent, receivedAt=received)

    for each in (given, corrected):
        assert text_of(each.original_timestamp) == "2024-01-04T10:00:00.000Z"
        assert text_of(each.track.timestamp) == "2024-01-04T11:00:00.000Z"
    for same in (item(**line), item(**line, timestamp=own)):
        assert not same.HasField("original_timestamp")


def test_a_line_without_an_id_has_one_made_from_its_content():
    line = b'{"type":"track","userId":"u1","event":"e","properties":{"a":1,"b":2}}'
    reordered = b'{"properties":{"b":2,"a":1},"event":"e", "userId":"u1","type":"track"}'
    with_absent = b'{"type":"track","userId":"u1","event":"e","properties":{"a":1,"b":2},"x":null}'
    null_id = line.replace(b"{", b'{"messageId":null,', 1)
    other = line.replace(b'"e"', b'"f"')

    # The value is fixed: with another, a second import of a file would count twice.
    expected = item_of(line).track.message_id
    assert expected == "716392db-f4a4-52a4-8366-dc173a305391"
    for same in (reordered, with_absent, null_id):
        assert item_of(same).track.message_id == expected
    assert item_of(other).track.message_id != expected


@pytest.mark.parametrize(
    ("line", "reason", "field"),
    [
        (b"not json", "LINE_INVALID", ""),
        (b'{"type":"track"', "LINE_INVALID", ""),
        (b'{"type":"track","properties":{"a":NaN}}', "LINE_INVALID", ""),
        (b'{"type":"track","userId":"\xff"}', "LINE_INVALID", ""),
        (b'{"type":"track","userId":"\\ud800"}', "LINE_INVALID", ""),
        (b"[]", "LINE_INVALID", ""),
        (b"null", "LINE_INVALID", ""),
        (b"{}", "TYPE_UNKNOWN", "type"),
        (b'{"type":null}', "TYPE_UNKNOWN", "type"),
        (b'{"type":"Track"}', "TYPE_UNKNOWN", "type"),
        (b'{"type":["track"]}', "FIELD_INVALID", "type"),
        (b'{"type":"track","userId":17}', "FIELD_INVALID", "userId"),
        (b'{"type":"track","messageId":17}', "FIELD_INVALID", "messageId"),
        (b'{"type":"track","event":{}}', "FIELD_INVALID", "event"),
        (b'{"type":"track","properties":[]}', "FIELD_INVALID", "properties"),
        (b'{"type":"track","context":"x"}', "FIELD_INVALID", "context"),
        (b'{"type":"identify","traits":1}', "FIELD_INVALID", "traits"),
        (b'{"type":"identify","context":{"traits":1}}', "FIELD_INVALID", "context.traits"),
        (b'{"type":"profile","set":[]}', "FIELD_INVALID", "set"),
        (b'{"type":"profile","unset":{}}', "FIELD_INVALID", "unset"),
        (
            b'{"type":"alias","previousId":"a","previousUserId":"b"}',
            "FIELD_INVALID",
            "previousId",
        ),
        (
            b'{"type":"unlink","anonymousId":"a","previousUserId":"b"}',
            "FIELD_INVALID",
            "anonymousId",
        ),
    ],
)
def test_what_the_api_cannot_say_is_refused(line, reason, field):
    error = refusal(line)

    assert (error.reason, error.field) == (reason, field)
    assert error.message


@pytest.mark.parametrize("depth", [300, 5_000])
@pytest.mark.parametrize("message_id", [b'"m1"', b"null"])
def test_a_line_that_nests_too_deep_is_refused(depth, message_id):
    nested = b'{"a":' * depth + b"1" + b"}" * depth

    refusal(b'{"type":"track","messageId":' + message_id + b',"properties":' + nested + b"}")


def test_large_numbers_are_left_to_the_server_as_they_stand():
    track = call(type="track", userId="u1", properties={"n": 2**53 + 1})

    assert track.properties_json == '{"n":9007199254740993}'


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "track", "event": "e", "properties": {"n": 1}, "context": {"ip": "::1"}},
        {"type": "identify", "anonymousId": "a1", "traits": {"n": 1}},
        {"type": "alias", "previousId": "a1"},
        {"type": "alias", "previousUserId": "u0"},
        {"type": "page", "name": "Home"},
        {"type": "screen", "name": "Main", "properties": {}},
        {"type": "group", "groupId": "g1", "traits": {"n": 1}},
        {"type": "reset", "anonymousId": "a1"},
        {"type": "profile", "increment": {"n": 1}, "unset": ["x"]},
        {"type": "merge", "previousUserId": "u0", "reason": "same man"},
        {"type": "unlink", "anonymousId": "a1", "reason": "other man"},
    ],
    ids=lambda fields: fields["type"],
)
def test_a_message_that_is_shown_as_json_is_a_line_of_the_same_message(fields):
    line = {
        **fields,
        "messageId": "m1",
        "userId": "u1",
        "timestamp": "2024-01-04T11:45:38.123456Z",
        "receivedAt": "2024-01-04T11:45:39.000Z",
    }

    assert message_fields(as_server_gives(item(**line))) == line


def as_server_gives(taken):
    """The message of the ledger that an item becomes."""
    which = taken.WhichOneof("call")
    given = call_of(taken)
    names = ["message_id", "user_id", "anonymous_id", "previous_anonymous_id"]
    names += ["previous_user_id", "event", "timestamp", "properties_json", "context_json"]
    message = v1.Message(received_at=taken.received_at)
    for name in [*names, "operations_json"]:
        if name in given.DESCRIPTOR.fields_by_name and (value := getattr(given, name)):
            setattr(message, name, value) if isinstance(value, str) else getattr(
                message, name
            ).CopyFrom(value)
    if which == "identify":
        message.properties_json = given.traits_json
    if which in ("merge", "unlink"):
        message.properties_json = json.dumps({"reason": given.reason})
    kind = {"update_profile": "PROFILE"}.get(which, which.upper())
    message.kind = given.kind if which == "track" else f"MESSAGE_KIND_{kind}"
    return message


LIBRARY_CALLS = {
    "py-segment": [
        ("identify", "u1", "anon1", {"email": "a@b.c", "plan": "pro"}),
        ("alias", "u1", "anon1", None),
        ("track", "u1", "Signed Up", {"n": 1}),
        ("track", "", "Viewed", {}),
        ("group", "u1", "g1", {"name": "x"}),
        ("page", "u1", "Home", {"category": "cat", "url": "/"}),
        ("screen", "u1", "Main", {}),
    ],
    "py-rudder": [
        ("identify", "u1", "anon1", {"email": "a@b.c"}),
        ("alias", "u1", "anon1", None),
        ("track", "u1", "Signed Up", {"n": 1}),
        ("group", "u1", "g1", {}),
        ("page", "u1", "Home", {"category": "cat"}),
    ],
    "node-segment": [
        ("identify", "u1", "anon1", {"email": "a@b.c"}),
        ("alias", "u1", "anon1", None),
        ("track", "u1", "Signed Up", {"n": 1}),
        ("group", "u1", "g1", {"x": 1}),
        ("page", "u1", "Home", {}),
        ("screen", "u1", "S", {}),
    ],
    "node-rudder": [
        ("identify", "u1", "", {"email": "a@b.c"}),
        ("alias", "u1", "anon1", None),
        ("track", "u1", "Signed Up", {"n": 1}),
        ("group", "u1", "g1", None),
    ],
}


@pytest.mark.parametrize("library", LIBRARY_CALLS)
def test_what_real_libraries_sent_is_taken(library):
    path = SHARED / "captures" / f"{library}.json"
    if not path.exists():
        pytest.skip(f"{path} is absent: what {library} sends is NOT tested")
    lines = [line for request in json.loads(path.read_text()) for line in request["body"]["batch"]]

    taken = [item(**line) for line in lines]

    assert [summary(each) for each in taken] == LIBRARY_CALLS[library]
    for line, each in zip(lines, taken, strict=True):
        own_time = line.get("timestamp") or line["originalTimestamp"]
        assert call_of(each).message_id == line["messageId"]
        assert call_of(each).context_json == orjson.dumps(line["context"]).decode()
        assert text_of(call_of(each).timestamp)[:23] == own_time[:23]


def summary(taken):
    """The type, the user, the event or the other id, and the payload."""
    which, given = taken.WhichOneof("call"), call_of(taken)
    if which == "identify":
        return "identify", given.user_id, given.anonymous_id, orjson.loads(given.traits_json)
    if which == "alias":
        return "alias", given.user_id, given.previous_anonymous_id, None
    kind = v1.MessageKind.Name(given.kind).removeprefix("MESSAGE_KIND_").lower()
    payload = orjson.loads(given.properties_json) if given.properties_json else None
    return kind, given.user_id, given.event, payload


def test_every_line_of_the_demo_shop_is_taken():
    import gzip

    path = SHARED / "data" / "shop.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: the demo shop is NOT tested")

    with gzip.open(path) as lines:
        ids = {call_of(item_of(line)).message_id for line in lines}

    assert len(ids) == 36_500
