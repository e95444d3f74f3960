"""Messages of a timeline on the wire."""

from typing import Any

from sameas import v1
from sameas_service.domain import payload
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.operations import ACTIONS
from sameas_service.servicer.structs import struct_of
from sameas_service.servicer.timestamps import timestamp_of


def message_of(message: Message, form: int) -> v1.Message:
    """Return a message on the wire, its payload in the form asked for."""
    wire = v1.Message(
        message_id=message.message_id,
        kind=message.kind.value,  # type: ignore[arg-type]
        user_id=message.user or "",
        event=message.event,
        timestamp=timestamp_of(message.event_time),
        received_at=timestamp_of(message.received_at),
    )
    if message.sent_at is not None:
        wire.sent_at.CopyFrom(timestamp_of(message.sent_at))
    rest = _put_ids(wire, message)
    as_json = form == v1.PayloadForm.PAYLOAD_FORM_JSON
    if message.kind is Kind.PROFILE:
        _put_operations(wire, rest, as_json=as_json)
    elif rest != payload.EMPTY:
        _put(wire, "properties", rest, as_json=as_json)
    if message.context:
        _put(wire, "context", message.context, as_json=as_json)
    return wire


def _put_ids(wire: v1.Message, message: Message) -> str:
    """Set the ids by the message's kind. Return the payload without what is an id."""
    if message.kind is Kind.ALIAS:
        rest = payload.parse(message.payload)
        wire.anonymous_id = rest.get("anonymousId", "")
        wire.previous_anonymous_id = message.device or rest.get("previousId", "")
        wire.previous_user_id = message.source or rest.get("previousUserId", "")
        return payload.EMPTY
    wire.anonymous_id = message.device or ""
    if message.kind in (Kind.MERGE, Kind.UNLINK):
        rest = payload.parse(message.payload)
        wire.previous_user_id = message.source or rest.pop("previousUserId", "")
        return payload.canonical(rest)
    return message.payload


def _put(wire: v1.Message, field: str, text: str, *, as_json: bool) -> None:
    if as_json:
        setattr(wire, f"{field}_json", text)
    else:
        getattr(wire, field).CopyFrom(struct_of(payload.parse(text)))


def _put_operations(wire: v1.Message, text: str, *, as_json: bool) -> None:
    if as_json:
        wire.operations_json = text
        return
    wire.operations.SetInParent()
    for key, operands in payload.parse(text).items():
        target: Any = getattr(wire.operations, ACTIONS[key])
        if key == "unset":
            target.extend(operands)
        else:
            target.update(operands)
