"""The command `explain`."""

from typing import Any

import grpc

from sameas import v1
from sameas_service.cli import times
from sameas_service.cli.connection import READ_TIMEOUT_SECONDS, bare_name
from sameas_service.cli.showing import find, print_json
from sameas_service.cli.terminal import safe, say
from sameas_service.cli.writing import kind_word

_PREFIX = "SEPARATION_REASON_"


def show_explanation(
    channel: grpc.Channel, identifiers: tuple[str, str], as_of: int | None, *, as_json: bool
) -> None:
    """Print why two ids are one person, or why not."""
    first, second = (find(channel, identifier, None).key for identifier in identifiers)
    request = v1.ExplainRequest(first=first, second=second)
    if as_of is not None:
        request.as_of.CopyFrom(times.timestamp_of(as_of))
    answer = v1.PersonServiceStub(channel).Explain(request, timeout=READ_TIMEOUT_SECONDS)
    if as_json:
        print_json(_fields(answer), indent=True)
        return
    say("one person" if answer.same_person else "not one person")
    for step in answer.chain:
        say(f"  {safe(step.sentence)}")
    for separation in answer.separations:
        say(f"  {safe(separation.sentence)}")
    if answer.also:
        say("without these messages, still one person:")
    for step in answer.also:
        say(f"  {safe(step.sentence)}")


def _fields(answer: v1.ExplainResponse) -> dict[str, Any]:
    return {
        "samePerson": answer.same_person,
        "sentence": answer.sentence,
        "firstPersonId": answer.first_person_id,
        "secondPersonId": answer.second_person_id,
        "chain": [_step(step) for step in answer.chain],
        "also": [_step(step) for step in answer.also],
        "separations": [_separation(separation) for separation in answer.separations],
    }


def _step(step: v1.ExplainStep) -> dict[str, Any]:
    return {
        "anonymousId": step.anonymous_id or None,
        "previousUserId": step.previous_user_id or None,
        "userId": step.user_id,
        "messages": step.messages,
        "first": _evidence(step.first),
        "last": _evidence(step.last),
        "sentence": step.sentence,
    }


def _separation(separation: v1.Separation) -> dict[str, Any]:
    named = separation.HasField("evidence")
    return {
        "reason": bare_name(v1.SeparationReason.Name, separation.reason, _PREFIX),
        "evidence": _evidence(separation.evidence) if named else None,
        "sentence": separation.sentence,
    }


def _evidence(evidence: v1.Evidence) -> dict[str, Any]:
    return {
        "messageId": evidence.message_id,
        "type": kind_word(evidence.kind),
        "timestamp": times.text_of(evidence.timestamp),
        "receivedAt": times.text_of(evidence.received_at),
        "keyName": evidence.key_name or None,
    }
