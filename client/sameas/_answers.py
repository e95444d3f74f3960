"""Response messages to values. Pure: no channel, no state."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc
from google.protobuf import struct_pb2

from sameas import v1
from sameas.clock import from_micros
from sameas.errors import ServerFault
from sameas.values import (
    MISSING,
    CallWarning,
    ChangeKind,
    Evidence,
    ExplainStep,
    Explanation,
    IdentityChange,
    MessageKind,
    MovedMessages,
    Outcome,
    Person,
    Preview,
    Receipt,
    Refusal,
    Separation,
    TimelineMessage,
    TraitChange,
    Unlinked,
    WatchedChange,
)

# By number, once: a lookup for each answer would cost more than the answer. What a newer
# server may add is not in the tables and becomes UNKNOWN.
_OUTCOMES = {
    number: Outcome(name.removeprefix("OUTCOME_").lower())
    for name, number in v1.Outcome.items()
    if number
}
_KINDS = {
    number: MessageKind(name.removeprefix("MESSAGE_KIND_").lower())
    for name, number in v1.MessageKind.items()
    if number
}
_CHANGES = {
    number: ChangeKind(name.removeprefix("CHANGE_KIND_").lower())
    for name, number in v1.ChangeKind.items()
    if number
}
_WARNINGS = {n: name.removeprefix("WARNING_REASON_") for name, n in v1.WarningReason.items()}
_REASONS = {n: name.removeprefix("ERROR_REASON_") for name, n in v1.ErrorReason.items()}
_SEPARATIONS = {
    n: name.removeprefix("SEPARATION_REASON_") for name, n in v1.SeparationReason.items()
}
_INTEGER_MAX = 2**53
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def receipt(message: v1.Receipt) -> Receipt:
    """Return what became of one accepted message."""
    return Receipt(
        message_id=message.message_id,
        outcome=_OUTCOMES.get(message.outcome, Outcome.UNKNOWN),
        person_id=message.person_id,
        absorbed_person_ids=tuple(message.absorbed_person_ids),
        duplicate=message.duplicate,
        warnings=tuple(warning(each) for each in message.warnings),
    )


def warning(message: v1.Warning) -> CallWarning:
    """Return a warning of a receipt."""
    return CallWarning(
        reason=_WARNINGS.get(message.reason, "UNKNOWN"),
        message=message.message,
        metadata=dict(message.metadata),
    )


def refusal(message_id: str, error: v1.ItemError) -> Refusal:
    """Return why one message of a batch was refused."""
    return Refusal(
        message_id=message_id,
        code=_CODES.get(error.code, grpc.StatusCode.UNKNOWN),
        reason=_REASONS.get(error.reason, "UNKNOWN"),
        field=error.field,
        message=error.message,
        metadata=dict(error.metadata),
    )


def results(request: v1.IngestRequest, response: v1.IngestResponse) -> list[Receipt | Refusal]:
    """Return one answer for each item of a batch, in their order.

    Raises:
        ServerFault: If the server did not answer each item.
    """
    check_count(len(request.items), response)
    return [
        receipt(result.receipt)
        if result.HasField("receipt")
        else refusal(message_id_of(item), result.error)
        for item, result in zip(request.items, response.results, strict=True)
    ]


def check_count(sent: int, response: v1.IngestResponse) -> None:
    """Check that a batch has one result for each item.

    Raises:
        ServerFault: If it has not.
    """
    if len(response.results) != sent:
        raise ServerFault(f"{sent} messages were sent, {len(response.results)} answered")


def message_id_of(item: v1.IngestItem) -> str:
    """Return the message id of an item of a batch; empty for an item that has no call."""
    name = item.WhichOneof("call")
    return str(getattr(item, name).message_id) if name else ""


def person(message: v1.Person) -> Person:
    """Return a person."""
    return Person(
        person_id=message.person_id,
        user_id=message.user_id or None,
        user_ids=tuple(message.user_ids),
        anonymous_ids=tuple(message.anonymous_ids),
        anonymous_ids_truncated=message.anonymous_ids_truncated,
        traits=_object(message.traits_json),
        first_seen=_time(message, "first_seen"),
        last_seen=_time(message, "last_seen"),
    )


def persons(response: v1.BatchGetPersonsResponse) -> list[Person | None]:
    """Return a person for each key; None where no message named the id."""
    return [
        person(result.person) if result.HasField("person") else None for result in response.results
    ]


def timeline(messages: Sequence[v1.Message]) -> list[TimelineMessage]:
    """Return the messages of one page."""
    return [_timeline_message(message) for message in messages]


def _timeline_message(message: v1.Message) -> TimelineMessage:
    return TimelineMessage(
        message_id=message.message_id,
        kind=_KINDS.get(message.kind, MessageKind.UNKNOWN),
        anonymous_id=message.anonymous_id or None,
        user_id=message.user_id or None,
        previous_anonymous_id=message.previous_anonymous_id or None,
        previous_user_id=message.previous_user_id or None,
        event=message.event,
        timestamp=_time(message, "timestamp"),
        sent_at=_time(message, "sent_at"),
        received_at=_time(message, "received_at"),
        properties=_object(message.properties_json),
        operations=_object(message.operations_json),
        context=_object(message.context_json),
    )


def preview(
    response: v1.IdentifyResponse
    | v1.AliasResponse
    | v1.TrackResponse
    | v1.ResetResponse
    | v1.UpdateProfileResponse
    | v1.MergeResponse,
) -> Preview:
    """Return what a call would change."""
    return Preview(receipt(response.receipt), *_effects(response.preview))


def unlinked(response: v1.UnlinkResponse) -> Unlinked:
    """Return what an unlink changed, or would change."""
    chain = tuple(_step(step) for step in response.chain)
    return Unlinked(receipt(response.receipt), *_effects(response.preview), chain)


def watched(response: v1.WatchChangesResponse) -> list[WatchedChange]:
    """Return some changes, in order."""
    return [
        WatchedChange(each.cursor, _change(each.change), each.message_id)
        for each in response.changes
    ]


_Effects = tuple[tuple[IdentityChange, ...], tuple[MovedMessages, ...], tuple[TraitChange, ...]]


def _effects(message: v1.Preview) -> _Effects:
    return (
        tuple(_change(each) for each in message.changes),
        tuple(
            MovedMessages(each.former_person_id or None, each.person_id or None, each.messages)
            for each in message.moved
        ),
        tuple(_trait_change(each) for each in message.traits),
    )


def _change(message: v1.IdentityChange) -> IdentityChange:
    return IdentityChange(
        kind=_CHANGES.get(message.kind, ChangeKind.UNKNOWN),
        anonymous_id=message.anonymous_id or None,
        user_id=message.user_id or None,
        person_id=message.person_id or None,
        former_person_id=message.former_person_id or None,
    )


def _trait_change(message: v1.TraitChange) -> TraitChange:
    return TraitChange(
        person_id=message.person_id,
        trait=message.trait,
        former_value=_value(message.former_value) if message.HasField("former_value") else MISSING,
        value=_value(message.value) if message.HasField("value") else MISSING,
    )


def _value(message: struct_pb2.Value) -> Any:
    """Return a JSON value. Its numbers are doubles; whole ones become integers, as in a person."""
    match message.WhichOneof("kind"):
        case "number_value":
            number = message.number_value
            return int(number) if abs(number) <= _INTEGER_MAX and number.is_integer() else number
        case "struct_value":
            return {key: _value(item) for key, item in message.struct_value.fields.items()}
        case "list_value":
            return [_value(item) for item in message.list_value.values]
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
    return None


def explanation(response: v1.ExplainResponse) -> Explanation:
    """Return why two ids are one person, or why not."""
    return Explanation(
        same_person=response.same_person,
        sentence=response.sentence,
        chain=tuple(_step(step) for step in response.chain),
        also=tuple(_step(step) for step in response.also),
        separations=tuple(_separation(each) for each in response.separations),
        first_person_id=response.first_person_id,
        second_person_id=response.second_person_id,
    )


def _step(message: v1.ExplainStep) -> ExplainStep:
    return ExplainStep(
        anonymous_id=message.anonymous_id or None,
        previous_user_id=message.previous_user_id or None,
        user_id=message.user_id,
        messages=message.messages,
        first=_evidence(message.first),
        last=_evidence(message.last),
        sentence=message.sentence,
    )


def _separation(message: v1.Separation) -> Separation:
    return Separation(
        reason=_SEPARATIONS.get(message.reason, "UNKNOWN"),
        evidence=_evidence(message.evidence) if message.HasField("evidence") else None,
        sentence=message.sentence,
    )


def _evidence(message: v1.Evidence) -> Evidence:
    return Evidence(
        message_id=message.message_id,
        kind=_KINDS.get(message.kind, MessageKind.UNKNOWN),
        timestamp=_time(message, "timestamp"),
        received_at=_time(message, "received_at"),
        key_name=message.key_name or None,
    )


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        raise ServerFault("the server answered with JSON that is no object")
    return value


def _time(message: v1.Person | v1.Message | v1.Evidence, name: str) -> datetime | None:
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    stamp = getattr(message, name)
    return from_micros(stamp.seconds * 1_000_000 + stamp.nanos // 1_000)
