import json
import re

import pytest

from sameas import v1
from sameas_service.cli.terminal import safe
from sameas_service.cli.times import micros_of_option, timestamp_of

EVIL = "\x1b[2J[red]\u202eevil\x9b\n:smile:"


def at(text):
    return timestamp_of(micros_of_option(text))


def person(**changes):
    values = {
        "person_id": "p-1",
        "user_id": "u1",
        "user_ids": ["u1", "u0"],
        "anonymous_ids": ["a1", "a2"],
        "first_seen": at("2024-01-04T11:45:38Z"),
        "last_seen": at("2024-02-04T11:45:38.000001Z"),
        "traits_json": '{"plan":"pro","logins":3,"tags":["x","y"]}',
    }
    return v1.Person(**{**values, **changes})


def message(number, **changes):
    values = {
        "message_id": f"m{number}",
        "kind": v1.MessageKind.MESSAGE_KIND_TRACK,
        "event": "Signed Up",
        "user_id": "u1",
        "anonymous_id": "a1",
        "timestamp": at("2024-01-04T11:45:38.5Z"),
        "received_at": at("2024-01-04T11:45:39Z"),
        "properties_json": '{"n":1}',
    }
    return v1.Message(**{**values, **changes})


@pytest.fixture
def known(people):
    """A person who is known by one id of each kind."""
    for key in [("user_id", "u1"), ("anonymous_id", "a1"), ("person_id", "p-1")]:
        people.persons[key] = person()
    return people


def test_a_person_is_shown_with_ids_times_and_traits(sameas, known):
    result = sameas("person", "u1")

    assert result.exit_code == 0
    assert result.stderr == ""
    words = result.stdout.replace("│", " ").split()
    for word in ["p-1", "u1", "u0", "a1", "a2", "plan", "pro", "logins", "3", '["x","y"]']:
        assert word in words
    assert "2024-01-04T11:45:38.000Z" in words
    assert "2024-02-04T11:45:38.000001Z" in words
    assert "found by user id" in result.stdout


def test_a_person_without_ids_and_traits_is_shown(sameas, people):
    people.persons["anonymous_id", "a9"] = v1.Person(person_id="p-9")

    result = sameas("person", "a9")

    assert result.exit_code == 0
    assert result.stdout.count("none") == 5
    assert "found by anonymous id" in result.stdout


def test_a_list_of_devices_that_is_cut_off_says_so(sameas, people):
    people.persons["user_id", "u1"] = person(anonymous_ids_truncated=True)

    assert "... and more" in sameas("person", "u1").stdout


def test_a_person_is_printed_as_json(sameas, known):
    result = sameas("person", "u1", "--json")

    assert json.loads(result.stdout) == {
        "personId": "p-1",
        "userId": "u1",
        "userIds": ["u1", "u0"],
        "anonymousIds": ["a1", "a2"],
        "anonymousIdsTruncated": False,
        "firstSeen": "2024-01-04T11:45:38.000Z",
        "lastSeen": "2024-02-04T11:45:38.000001Z",
        "traits": {"plan": "pro", "logins": 3, "tags": ["x", "y"]},
    }


@pytest.mark.parametrize(
    ("identifier", "tried"),
    [
        ("u1", ["user_id"]),
        ("a1", ["user_id", "anonymous_id"]),
        ("p-1", ["user_id", "anonymous_id", "person_id"]),
    ],
)
def test_an_id_is_tried_as_user_then_as_anonymous_then_as_person(sameas, known, identifier, tried):
    result = sameas("person", identifier)

    assert result.exit_code == 0
    assert [request.key.WhichOneof("key") for request in known.requests] == tried


@pytest.mark.parametrize(
    ("by", "which"),
    [("user", "user_id"), ("anonymous", "anonymous_id"), ("person", "person_id")],
)
def test_by_takes_the_id_for_one_kind_only(sameas, people, by, which):
    people.persons[which, "p-7"] = person()

    assert sameas("person", "p-7", "--by", by).exit_code == 0
    assert [request.key.WhichOneof("key") for request in people.requests] == [which]
    others = {"user", "anonymous", "person"} - {by}
    assert all(sameas("person", "p-7", "--by", each).exit_code == 1 for each in others)


@pytest.mark.parametrize("identifier", ["nobody", "p-nobody"])
@pytest.mark.parametrize("command", ["person", "timeline"])
def test_an_id_that_nobody_has_is_said_to_be_unknown(sameas, known, command, identifier):
    result = sameas(command, identifier)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"nobody is known by {identifier} as user id, anonymous id or person id\n"
    )


def test_an_unknown_id_of_one_kind_is_said_to_be_unknown_as_that(sameas, known):
    result = sameas("person", "u1", "--by", "anonymous")

    assert result.stderr == "nobody is known by u1 as anonymous id\n"


@pytest.mark.parametrize("command", ["person", "timeline"])
def test_an_error_is_one_line_of_code_reason_field_and_sentence(sameas, command):
    result = sameas(command, "x" * 257)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "INVALID_ARGUMENT ID_TOO_LONG user_id: user_id has more than 256 bytes\n"
    )


def test_a_person_id_that_is_none_is_an_error_where_it_was_meant_as_one(sameas):
    result = sameas("person", "x", "--by", "person")

    assert "person_id is not a UUID" in result.stderr


@pytest.mark.parametrize("command", ["person", "timeline"])
def test_where_no_server_answers_it_says_how_to_start_one(sameas, nobody_there, command):
    result = sameas(command, "u1", "--server", nobody_there)

    assert result.exit_code == 1
    assert result.stderr == (
        f"no server answers at {nobody_there}; start one with `sameas serve`\n"
    )


def test_a_timeline_has_one_line_a_message(sameas, known):
    known.messages = [
        message(1, properties_json='{"long":"' + "x" * 300 + '"}'),
        message(2, kind=v1.MessageKind.MESSAGE_KIND_RESET, event="", properties_json="{}"),
        message(
            3,
            kind=v1.MessageKind.MESSAGE_KIND_ALIAS,
            event="",
            properties_json="",
            anonymous_id="",
            previous_anonymous_id="a2",
        ),
        message(
            4,
            kind=v1.MessageKind.MESSAGE_KIND_PROFILE,
            event="",
            properties_json="",
            operations_json='{"increment":{"n":1}}',
        ),
    ]

    result = sameas("timeline", "u1")

    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["2024-01-04T11:45:38.500Z", "reset", "userId=u1", "anonymousId=a1"],
        ["2024-01-04T11:45:38.500Z", "alias", "userId=u1", "previousId=a2"],
        [
            "2024-01-04T11:45:38.500Z",
            "profile",
            "userId=u1",
            "anonymousId=a1",
            '{"increment":{"n":1}}',
        ],
    ]
    assert "track    Signed Up userId=u1 anonymousId=a1" in lines[0]
    assert lines[0].endswith("x" * 300 + '"}')


def test_a_timeline_as_json_is_in_the_import_format(sameas, known):
    known.messages = [message(1), message(2)]

    result = sameas("timeline", "u1", "--json")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["messageId"] for line in lines] == ["m1", "m2"]
    assert lines[0] == {
        "type": "track",
        "messageId": "m1",
        "timestamp": "2024-01-04T11:45:38.500Z",
        "receivedAt": "2024-01-04T11:45:39.000Z",
        "userId": "u1",
        "anonymousId": "a1",
        "event": "Signed Up",
        "properties": {"n": 1},
    }


def test_the_options_of_a_timeline_reach_the_server(sameas, known):
    known.messages = [message(1)]

    result = sameas(
        *("timeline", "a1", "--kind", "track", "--kind", "profile", "--event", "Signed Up"),
        *("--since", "2024-01-04", "--until", "2024-01-05T12:00:00+02:00", "--limit", "7"),
    )

    assert result.exit_code == 0
    request = known.requests[-1]
    assert request.key.anonymous_id == "a1"
    assert list(request.kinds) == [
        v1.MessageKind.MESSAGE_KIND_TRACK,
        v1.MessageKind.MESSAGE_KIND_PROFILE,
    ]
    assert list(request.events) == ["Signed Up"]
    assert request.start_time == at("2024-01-04T00:00:00Z")
    assert request.end_time == at("2024-01-05T10:00:00Z")


def test_a_time_that_is_none_is_refused(sameas, known):
    result = sameas("timeline", "u1", "--since", "yesterday")

    assert result.exit_code == 2
    assert "not an RFC 3339 time" in result.stderr


@pytest.mark.parametrize("page_size_max", [1, 40, 1_000])
@pytest.mark.parametrize("limit", [1, 99, 100, 120])
def test_a_timeline_goes_over_pages_up_to_its_limit(sameas, known, limit, page_size_max):
    known.page_size_max = page_size_max
    known.messages = [message(number) for number in range(100)]

    result = sameas("timeline", "u1", "--json", "--limit", str(limit))

    ids = [json.loads(line)["messageId"] for line in result.stdout.splitlines()]
    assert ids == [f"m{number}" for number in range(min(limit, 100))]
    more = f"there are more than {limit} messages; --limit shows more of them\n"
    assert result.stderr == (more if limit < 100 else "")


def test_data_cannot_steer_the_terminal(sameas, known):
    changes = {
        "user_ids": [EVIL],
        "anonymous_ids": [EVIL],
        "traits_json": json.dumps({EVIL: EVIL, "list": [EVIL]}),
    }
    known.persons["user_id", "u1"] = person(**changes)
    known.messages = [
        message(1, event=EVIL, user_id=EVIL, properties_json=json.dumps({EVIL: EVIL}))
    ]

    shown = [
        sameas(command, "u1", *options).output
        for command in ("person", "timeline")
        for options in ([], ["--json"])
    ]
    shown.append(sameas("person", EVIL).output)

    for output in shown:
        assert not set(output) & set("\x1b\x9b\u202e")
        assert "[red]" in output
        assert ":smile:" in output
        assert "\\u001b[2J" in output


def test_json_with_control_characters_keeps_its_meaning(sameas, known):
    known.persons["user_id", "u1"] = person(traits_json=json.dumps({EVIL: [EVIL, "é"]}))

    result = sameas("person", "u1", "--json")

    assert json.loads(result.stdout)["traits"] == {EVIL: [EVIL, "é"]}
    assert "é" in result.stdout


def test_a_terminal_sees_each_message_on_one_line(sameas, known):
    known.messages = [message(1, properties_json='{"long":"' + "x" * 300 + '"}'), message(2)]

    result = sameas("timeline", "u1", on_terminal=True)

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in result.stdout.splitlines()]
    assert len(lines) == 2
    assert len(lines[0]) == 100
    assert lines[0].endswith("xxx…")
    assert lines[1].endswith('{"n":1}')


def test_text_for_people_is_left_as_it_is():
    text = "Zoë 👩\u200d👩 日本 עברית a\\b"

    assert safe(text) == text
