"""Response messages to values. Pure: no channel, no state."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc

from sameas import v1
from sameas.clock import from_micros
from sameas.errors import ServerFault
from sameas.values import (
    CallWarning,
    MessageKind,
    Outcome,
    Person,
    Receipt,
    Refusal,
    TimelineMessage,
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
_WARNINGS = {n: name.removeprefix("WARNING_REASON_") for name, n in v1.WarningReason.items()}
_REASONS = {n: name.removeprefix("ERROR_REASON_") for name, n in v1.ErrorReason.items()}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def receipt(message: v1.Receipt) -> Receipt:
    """What became of one accepted message."""
    return Receipt(
        message_id=message.message_id,
        outcome=_OUTCOMES.get(message.outcome, Outcome.UNKNOWN),
        person_id=message.person_id,
        absorbed_person_ids=tuple(message.absorbed_person_ids),
        duplicate=message.duplicate,
        warnings=tuple(warning(each) for each in message.warnings),
    )


def warning(message: v1.Warning) -> CallWarning:
    """A warning of a receipt."""
    return CallWarning(
        reason=_WARNINGS.get(message.reason, "UNKNOWN"),
        message=message.message,
        metadata=dict(message.metadata),
    )


def refusal(message_id: str, error: v1.ItemError) -> Refusal:
    """Why one message of a batch was refused."""
    return Refusal(
        message_id=message_id,
        code=_CODES.get(error.code, grpc.StatusCode.UNKNOWN),
        reason=_REASONS.get(error.reason, "UNKNOWN"),
        field=error.field,
        message=error.message,
        metadata=dict(error.metadata),
    )


def results(request: v1.IngestRequest, response: v1.IngestResponse) -> list[Receipt | Refusal]:
    """One answer for each item of a batch, in their order.

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
    """Sees that a batch has one result for each item.

    Raises:
        ServerFault: If it has not.
    """
    if len(response.results) != sent:
        raise ServerFault(f"{sent} messages were sent, {len(response.results)} answered")


def message_id_of(item: v1.IngestItem) -> str:
    """The message id of an item of a batch; empty for an item that has no call."""
    name = item.WhichOneof("call")
    return str(getattr(item, name).message_id) if name else ""


def person(message: v1.Person) -> Person:
    """A person."""
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
    """A person for each key; None where no message named the id."""
    return [
        person(result.person) if result.HasField("person") else None for result in response.results
    ]


def timeline(messages: Sequence[v1.Message]) -> list[TimelineMessage]:
    """The messages of one page."""
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


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        raise ServerFault("the server answered with JSON that is no object")
    return value


def _time(message: v1.Person | v1.Message, name: str) -> datetime | None:
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    stamp = getattr(message, name)
    return from_micros(stamp.seconds * 1_000_000 + stamp.nanos // 1_000)
