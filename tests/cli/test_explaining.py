import json

import pytest

from sameas import v1
from sameas_service.cli.times import micros_of_option, timestamp_of

AT = timestamp_of(micros_of_option("2024-01-04T11:45:38Z"))
WIRE = v1.Evidence(
    message_id="m1", kind=v1.MessageKind.MESSAGE_KIND_TRACK, timestamp=AT, received_at=AT
)
EVIDENCE = {
    "messageId": "m1",
    "type": "track",
    "timestamp": "2024-01-04T11:45:38.000Z",
    "receivedAt": "2024-01-04T11:45:38.000Z",
    "keyName": None,
}


@pytest.fixture
def known(people):
    for key in [("user_id", "u1"), ("anonymous_id", "a1")]:
        people.persons[key] = v1.Person(person_id="p-1")
    step = v1.ExplainStep(
        anonymous_id="a1", user_id="u1", messages=2, first=WIRE, last=WIRE, sentence="why\x1b[2J"
    )
    people.explanation = v1.ExplainResponse(
        same_person=True, sentence="all", chain=[step], first_person_id="p-1",
        second_person_id="p-1",
    )  # fmt: skip
    return people


def test_a_chain_is_shown_a_step_a_line(sameas, known):
    known.explanation.also.add(sentence="other")

    result = sameas("explain", "a1", "u1")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "one person", "  why\\u001b[2J", "without these messages, still one person:", "  other",
    ]  # fmt: skip
    asked = known.requests[-1]
    assert (asked.first.anonymous_id, asked.second.user_id) == ("a1", "u1")
    assert not asked.HasField("as_of")


def test_what_keeps_ids_apart_is_shown(sameas, known):
    apart = v1.Separation(sentence="no message")
    known.explanation = v1.ExplainResponse(separations=[apart])

    assert sameas("explain", "a1", "u1").stdout.splitlines() == ["not one person", "  no message"]


def test_an_explanation_is_printed_as_json(sameas, known):
    apart = v1.Separation(
        reason=v1.SeparationReason.SEPARATION_REASON_OTHER_OWNER, evidence=WIRE, sentence="s"
    )
    known.explanation.separations.extend([apart, v1.Separation(reason=99)])

    result = sameas("explain", "a1", "u1", "--json", "--as-of", "2024-01-04T11:45:38Z")

    assert known.requests[-1].as_of == AT
    assert json.loads(result.stdout) == {
        "samePerson": True,
        "sentence": "all",
        "firstPersonId": "p-1",
        "secondPersonId": "p-1",
        "chain": [
            {
                "anonymousId": "a1",
                "previousUserId": None,
                "userId": "u1",
                "messages": 2,
                "first": EVIDENCE,
                "last": EVIDENCE,
                "sentence": "why\x1b[2J",
            }
        ],
        "also": [],
        "separations": [
            {"reason": "OTHER_OWNER", "evidence": EVIDENCE, "sentence": "s"},
            {"reason": "99", "evidence": None, "sentence": ""},
        ],
    }


def test_an_unknown_id_ends_the_command(sameas, known):
    result = sameas("explain", "a1", "nobody")

    assert result.exit_code == 1
    assert "nobody is known by nobody" in result.stderr
