"""Acceptance: a call's fields become a message, or are refused with a reason.

It depends on the message alone, never on what was accepted before, so that order cannot
matter.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from sameas_service.domain import ids, payload, warnings
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.limits import EVENT_BYTES_MAX, REASON_BYTES_MAX
from sameas_service.domain.message import Message, position_of
from sameas_service.domain.operations import check_count, checked_operations
from sameas_service.domain.times import event_time, final_time


class Call(NamedTuple):
    """A call's fields as they came, before any check. Empty text means absent.

    `payload` is JSON text: properties, traits or operations. `imported` says that times are
    final. `blocked` are the ids that are refused as placeholders.
    """

    kind: Kind
    message_id: str
    received_at: int
    anonymous_id: str = ""
    user_id: str = ""
    previous_anonymous_id: str = ""
    previous_user_id: str = ""
    event: str = ""
    payload: str = ""
    context: str = ""
    client_time: int | None = None
    sent_at: int | None = None
    imported: bool = False
    blocked: frozenset[str] = ids.NAMES_OF_NOBODY


def accept(call: Call) -> Message:
    """Return the message that a call makes.

    Raises:
        Refused: what is wrong with it; no case is left to the store.
    """
    ids.check_name(call.message_id, "message_id")
    found: list[warnings.CallWarning] = []
    device, user, source, body = _BY_KIND[call.kind](call, found)
    time = _time(call, found)
    if user is not None and ids.looks_like_email(user):
        found.append(warnings.user_id_is_email(user))
    return Message(
        call.kind,
        position_of(call.kind, time, call.message_id),
        call.received_at,
        device,
        user,
        source,
        call.event,
        body,
        payload.checked_text(call.context, "context") if call.context else "",
        call.client_time,
        call.sent_at,
        tuple(found),
    )


_Parts = tuple[str | None, str | None, str | None, str]
_Reader = Callable[[Call, list[warnings.CallWarning]], _Parts]


def _event(call: Call, _: list[warnings.CallWarning]) -> _Parts:
    if not call.event and call.kind in (Kind.TRACK, Kind.GROUP):
        raise Refused(Reason.EVENT_REQUIRED, "event is empty", field="event")
    _check_event(call.event)
    device, user = _either(call)
    return device, user, None, payload.checked_text(call.payload, "properties")


@lru_cache(maxsize=1_024)
def _check_event(event: str) -> None:
    """Refuse a name that is too long or has a control character; cached, since names repeat."""
    if len(event) * 4 > EVENT_BYTES_MAX and len(event.encode()) > EVENT_BYTES_MAX:
        raise Refused(
            Reason.EVENT_TOO_LONG,
            f"event has more than {EVENT_BYTES_MAX} bytes",
            field="event",
            metadata={"max_bytes": str(EVENT_BYTES_MAX)},
        )
    ids.check_no_control(event, "event")


def _identify(call: Call, _: list[warnings.CallWarning]) -> _Parts:
    traits = payload.checked_text(call.payload, "traits")
    if traits.count(":") > 1_000:
        check_count(len(payload.parse(traits)), "traits")
    return *_either(call), None, traits


def _profile(call: Call, _: list[warnings.CallWarning]) -> _Parts:
    return *_either(call), None, checked_operations(call.payload, "operations")


def _reset(call: Call, _: list[warnings.CallWarning]) -> _Parts:
    return _required(call, "anonymous_id"), _optional(call, "user_id"), None, payload.EMPTY


def _alias(call: Call, found: list[warnings.CallWarning]) -> _Parts:
    user = _required(call, "user_id")
    own = _optional(call, "anonymous_id")
    device = _optional(call, "previous_anonymous_id")
    source = _optional(call, "previous_user_id")
    if device is None and source is None:
        raise _missing("previous_anonymous_id", "an alias needs a source")
    rest = {} if own is None else {"anonymousId": own}
    if user in (device, source):
        # Real SDKs send it (analytics.js after identify): it is kept, and changes nothing.
        found.append(warnings.alias_to_itself(user))
        rest["previousId" if device else "previousUserId"] = user
        device = source = None
    return device, user, source, payload.canonical(rest)


def _pair(call: Call, _: list[warnings.CallWarning]) -> _Parts:
    """Read a merge or unlink: a user, and another user or a device; the payload is the reason."""
    user = _required(call, "user_id")
    device = _optional(call, "anonymous_id")
    source = _optional(call, "previous_user_id")
    if call.kind == Kind.MERGE:
        device = None
    if device is None and source is None:
        raise _missing("previous_user_id", "what to join or to part is missing")
    if len(call.payload.encode()) > REASON_BYTES_MAX:
        raise Refused(
            Reason.PAYLOAD_TOO_LARGE,
            f"reason has more than {REASON_BYTES_MAX} bytes",
            field="reason",
            metadata={"max_bytes": str(REASON_BYTES_MAX)},
        )
    rest = {"reason": call.payload}
    if source == user and call.kind is Kind.MERGE:
        rest["previousUserId"], source = user, None
    return device, user, source, payload.canonical(rest)


_READERS: dict[int, _Reader] = {
    int(Kind.IDENTIFY): _identify,
    int(Kind.ALIAS): _alias,
    int(Kind.RESET): _reset,
    int(Kind.PROFILE): _profile,
    int(Kind.MERGE): _pair,
    int(Kind.UNLINK): _pair,
}
_BY_KIND = [_READERS.get(number, _event) for number in range(max(Kind) + 1)]
"""How to read a call, by its kind's number: an enum's hash costs more than the rest."""


def _time(call: Call, found: list[warnings.CallWarning]) -> int:
    if call.imported:
        return final_time(call.client_time, call.received_at)
    time, is_ahead = event_time(call.client_time, call.sent_at, call.received_at)
    if is_ahead and call.client_time is not None:
        found.append(warnings.clock_ahead(call.client_time, time))
    return time


def _either(call: Call) -> tuple[str | None, str | None]:
    device, user = call.anonymous_id, call.user_id
    if not device and not user:
        raise _missing("user_id", "anonymous_id or user_id is needed")
    return (
        ids.check_id(device, "anonymous_id", call.blocked) if device else None,
        ids.check_id(user, "user_id", call.blocked) if user else None,
    )


def _required(call: Call, field: str) -> str:
    value = _optional(call, field)
    if value is None:
        raise _missing(field, f"{field} is needed")
    return value


def _optional(call: Call, field: str) -> str | None:
    value: str = getattr(call, field)
    return ids.check_id(value, field, call.blocked) if value else None


def _missing(field: str, sentence: str) -> Refused:
    return Refused(Reason.ID_REQUIRED, sentence, field=field)
