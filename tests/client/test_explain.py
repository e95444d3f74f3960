from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import Evidence, InvalidArgument, MessageKind, v1

AT = Timestamp(seconds=1_700_000_000, nanos=1_500)
TIME = datetime.fromtimestamp(1_700_000_000, UTC) + timedelta(microseconds=1)
FIRST, SECOND = v1.PersonKey(anonymous_id="d"), v1.PersonKey(user_id="u")
WIRE = v1.Evidence(
    message_id="m", kind=v1.MessageKind.MESSAGE_KIND_TRACK, timestamp=AT, received_at=AT
)
VALUE = Evidence("m", MessageKind.TRACK, TIME, TIME, None)


async def test_a_chain_comes_as_values(run, service):
    steps = [
        v1.ExplainStep(
            anonymous_id="d", user_id="u", messages=3, first=WIRE, last=WIRE, sentence="s"
        ),
        v1.ExplainStep(previous_user_id="u2", user_id="u"),
    ]
    answer = v1.ExplainResponse(
        same_person=True, sentence="all", chain=steps[:1], also=steps[1:],
        first_person_id="p", second_person_id="p",
    )  # fmt: skip
    service.answers.append(answer)

    explanation = await run("explain", FIRST, SECOND)

    assert service.requests == [v1.ExplainRequest(first=FIRST, second=SECOND)]
    assert (explanation.same_person, explanation.sentence) == (True, "all")
    assert (explanation.first_person_id, explanation.second_person_id) == ("p", "p")
    [step], [more] = explanation.chain, explanation.also
    assert (step.anonymous_id, step.previous_user_id, step.user_id) == ("d", None, "u")
    assert (step.messages, step.first, step.last, step.sentence) == (3, VALUE, VALUE, "s")
    assert (more.anonymous_id, more.previous_user_id) == (None, "u2")
    assert explanation.separations == ()


async def test_separations_come_as_values(run, service):
    unlinked = v1.Separation(
        reason=v1.SeparationReason.SEPARATION_REASON_UNLINKED, evidence=WIRE, sentence="s"
    )
    newer = v1.Separation(reason=99)
    service.answers.append(v1.ExplainResponse(separations=[unlinked, newer]))

    explanation = await run("explain", FIRST, SECOND)

    assert not explanation.same_person
    first, second = explanation.separations
    assert (first.reason, first.evidence, first.sentence) == ("UNLINKED", VALUE, "s")
    assert (second.reason, second.evidence) == ("UNKNOWN", None)


@pytest.mark.parametrize(
    ("name", "args", "key"),
    [
        ("explain", (FIRST, SECOND), {}),
        ("person", (), {"user_id": "u"}),
        ("persons", ([SECOND],), {}),
        ("messages", (), {"user_id": "u"}),
    ],
)
async def test_a_read_may_be_of_the_past(run, service, name, args, key):
    await run(name, *args, **key)
    await run(name, *args, **key, as_of=TIME)

    now, then = service.requests
    assert not now.HasField("as_of")
    assert then.as_of == Timestamp(seconds=1_700_000_000, nanos=1_000)
    with pytest.raises(InvalidArgument, match="as_of"):
        await run(name, *args, **key, as_of=TIME.replace(tzinfo=None))
