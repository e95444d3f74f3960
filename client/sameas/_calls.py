"""Arguments to request messages. Pure: no channel, no state; one function for each message.

JSON goes out as text (`..._json`), which the service takes some ten times cheaper than a
Struct. What cannot be written at all (NaN, a naive datetime) is refused here, with the error
that the service would answer; all other limits are checked by the service alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from sameas.clock import CLOCK, to_micros
from sameas.errors import InvalidArgument
from sameas.ids import new_message_id
from sameas.values import JsonObject, MessageKind

BATCH_MESSAGES_MAX = 2_500
BATCH_BYTES_MAX = 4 * 1024 * 1024

WriteRequest = (
    v1.IdentifyRequest
    | v1.AliasRequest
    | v1.TrackRequest
    | v1.ResetRequest
    | v1.UpdateProfileRequest
)
PairRequest = v1.MergeRequest | v1.UnlinkRequest
RequestT = TypeVar(
    "RequestT",
    bound=WriteRequest
    | PairRequest
    | v1.PersonKey
    | v1.ListMessagesRequest
    | v1.WatchChangesRequest,
)

FORM = v1.PayloadForm.PAYLOAD_FORM_JSON
"""How reads ask for JSON: as text, which is some ten times cheaper than a Struct."""

OPERATIONS = {
    "set": "set",
    "set_once": "setOnce",
    "unset": "unset",
    "increment": "increment",
    "append": "append",
    "union": "union",
    "remove": "remove",
}
"""Operations on traits: the argument's name to the name in `operations_json`."""


class CallOptions(TypedDict, total=False):
    """What every writing call takes besides its own arguments, by keyword."""

    timestamp: datetime | None
    """When it happened, with a time zone. None: now, by the process's own clock."""
    context: JsonObject | None
    """About the call (page, IP address ...): kept, not interpreted. At most 32 KiB."""
    message_id: str | None
    """Unique id of this logical call, at most 256 bytes. None: a new UUIDv7. Give the id of
    a call that failed to repeat it safely."""
    timeout: float | None
    """Seconds that the call may take, retries included. None: as the client was made."""


class ProfileOptions(CallOptions, total=False):
    """What `update_profile` takes besides ids; applied in this order."""

    set: JsonObject | None
    """Trait to value: the trait gets this value."""
    set_once: JsonObject | None
    """Trait to value: the same, where the trait has no value at that time."""
    unset: Sequence[str] | None
    """Traits to remove."""
    increment: Mapping[str, float] | None
    """Trait to a finite number, negative too: added; an absent trait counts from 0."""
    append: JsonObject | None
    """Trait to one element: put at the end of the trait's list."""
    union: Mapping[str, Sequence[Any]] | None
    """Trait to elements: those that the trait's list lacks are put at its end."""
    remove: JsonObject | None
    """Trait to one element: taken out of the trait's list wherever it is."""


class TimelineFilter(TypedDict, total=False):
    """What `messages` may be narrowed by."""

    kinds: Iterable[MessageKind]
    """Only these kinds. Empty: all."""
    events: Iterable[str]
    """Only events of these names. Empty: all."""
    start_time: datetime | None
    """Only messages at or after this event time."""
    end_time: datetime | None
    """Only messages before this event time."""
    page_size: int
    """Messages fetched in one call, at most 1,000; 0 means 50."""


def identify(
    user_id: str | None, traits: JsonObject | None, anonymous_id: str | None
) -> v1.IdentifyRequest:
    """Return an Identify."""
    return _build(
        v1.IdentifyRequest,
        user_id=user_id,
        anonymous_id=anonymous_id,
        traits_json=json_text(traits, "traits"),
    )


def alias(
    user_id: str,
    previous_anonymous_id: str | None,
    previous_user_id: str | None,
    anonymous_id: str | None,
) -> v1.AliasRequest:
    """Return an Alias. The API takes one source, so two are refused here.

    Raises:
        InvalidArgument: If both sources are given.
    """
    if previous_anonymous_id and previous_user_id:
        raise InvalidArgument(
            "an alias has one source: previous_anonymous_id or previous_user_id",
            reason="REQUEST_MALFORMED",
            metadata={"field": "source"},
        )
    return _build(
        v1.AliasRequest,
        user_id=user_id,
        anonymous_id=anonymous_id,
        previous_anonymous_id=previous_anonymous_id or None,
        previous_user_id=previous_user_id or None,
    )


def track(
    kind: v1.MessageKind.ValueType,
    event: str,
    properties: JsonObject | None,
    user_id: str | None,
    anonymous_id: str | None,
) -> v1.TrackRequest:
    """Return a Track, page, screen or group; of a group the event is the id."""
    return _build(
        v1.TrackRequest,
        kind=kind,
        event=event,
        user_id=user_id,
        anonymous_id=anonymous_id,
        properties_json=json_text(properties, "properties"),
    )


def reset(anonymous_id: str, user_id: str | None) -> v1.ResetRequest:
    """Return a Reset."""
    return _build(v1.ResetRequest, anonymous_id=anonymous_id, user_id=user_id)


def update_profile(
    user_id: str | None, anonymous_id: str | None, operations: Mapping[str, Any]
) -> v1.UpdateProfileRequest:
    """Return an UpdateProfile; `operations` are keyed as in `OPERATIONS`."""
    given = {
        OPERATIONS[name]: list(operand) if name == "unset" else operand
        for name, operand in operations.items()
        if operand is not None
    }
    return _build(
        v1.UpdateProfileRequest,
        user_id=user_id,
        anonymous_id=anonymous_id,
        operations_json=json_text(given, "operations"),
    )


def merge(
    user_id: str, previous_user_id: str, reason: str, message_id: str | None
) -> v1.MergeRequest:
    """Return a Merge, which the service dates."""
    return _build(
        v1.MergeRequest,
        message_id=message_id or new_message_id(),
        user_id=user_id,
        previous_user_id=previous_user_id,
        reason=reason,
    )


def unlink(
    user_id: str,
    anonymous_id: str | None,
    previous_user_id: str | None,
    reason: str,
    message_id: str | None,
) -> v1.UnlinkRequest:
    """Return an Unlink, which the service dates. The API takes one other id: two are refused.

    Raises:
        InvalidArgument: If both a device and a user are given.
    """
    if anonymous_id and previous_user_id:
        raise InvalidArgument(
            "an unlink parts a user from one other: anonymous_id or previous_user_id",
            reason="REQUEST_MALFORMED",
            metadata={"field": "other"},
        )
    return _build(
        v1.UnlinkRequest,
        message_id=message_id or new_message_id(),
        user_id=user_id,
        anonymous_id=anonymous_id or None,
        previous_user_id=previous_user_id or None,
        reason=reason,
    )


def watch_changes(cursor: str, *, follow: bool) -> v1.WatchChangesRequest:
    """Return a WatchChanges after a cursor, up to the present or following it."""
    return _build(v1.WatchChangesRequest, cursor=cursor, until_present=not follow)


def stamp(
    request: WriteRequest,
    timestamp: datetime | None,
    context: JsonObject | None,
    message_id: str | None,
) -> None:
    """Set a request's message id, client time and context: what a repeat must keep."""
    set_time(request.timestamp, timestamp, "timestamp")
    try:
        request.message_id = message_id or new_message_id()
        if context is not None:
            request.context_json = _encoded(context, "context")
    except ValueError as error:
        raise _not_unicode() from error


def set_time(target: Timestamp, value: datetime | None, field: str) -> None:
    """Set a time in microseconds; None means now.

    Raises:
        InvalidArgument: If the datetime has no time zone.
        TypeError: If it is no datetime.
    """
    if value is None:
        micros = CLOCK.micros()
    elif isinstance(value, datetime):
        try:
            micros = to_micros(value)
        except ValueError as error:
            raise InvalidArgument(
                f"{field}: {error}", reason="TIMESTAMP_INVALID", metadata={"field": field}
            ) from error
    else:
        raise TypeError(f"{field} must be a datetime with a time zone, or None")
    target.seconds, micros = divmod(micros, 1_000_000)
    target.nanos = micros * 1_000


def set_as_of(
    request: v1.GetPersonRequest
    | v1.BatchGetPersonsRequest
    | v1.ListMessagesRequest
    | v1.ExplainRequest,
    as_of: datetime | None,
) -> None:
    """Set the time as of which a read is meant; None stays absent, which is now."""
    if as_of is not None:
        set_time(request.as_of, as_of, "as_of")


def ingest(items: Iterable[v1.IngestItem], *, imported: bool) -> v1.IngestRequest:
    """Return a batch. Items without a message id get one, so that retries count once.

    Raises:
        InvalidArgument: If there are more than 2,500 messages or 4 MiB (BATCH_TOO_LARGE).
    """
    request = v1.IngestRequest(items=items, imported=imported)
    for item in request.items:
        if (name := item.WhichOneof("call")) is not None:
            call = getattr(item, name)
            call.message_id = call.message_id or new_message_id()
    if len(request.items) > BATCH_MESSAGES_MAX or request.ByteSize() > BATCH_BYTES_MAX:
        raise InvalidArgument(
            f"a batch has at most {BATCH_MESSAGES_MAX:,} messages and 4 MiB",
            reason="BATCH_TOO_LARGE",
            metadata={
                "field": "items",
                "max_messages": str(BATCH_MESSAGES_MAX),
                "max_bytes": str(BATCH_BYTES_MAX),
            },
        )
    return request


def person_key(
    user_id: str | None, anonymous_id: str | None, person_id: str | None
) -> v1.PersonKey:
    """Return the key of a person, of whom exactly one id is given.

    Raises:
        InvalidArgument: If none or several are given (ID_REQUIRED).
    """
    if sum(map(bool, (user_id, anonymous_id, person_id))) != 1:
        raise InvalidArgument(
            "give one of user_id, anonymous_id and person_id",
            reason="ID_REQUIRED",
            metadata={"field": "key"},
        )
    return _build(
        v1.PersonKey,
        user_id=user_id or None,
        anonymous_id=anonymous_id or None,
        person_id=person_id or None,
    )


def list_messages(
    key: v1.PersonKey,
    *,
    kinds: Iterable[MessageKind] = (),
    events: Iterable[str] = (),
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    page_size: int = 0,
) -> v1.ListMessagesRequest:
    """Return the first page's request of a timeline; the next ones differ in `page_token`."""
    request = _build(
        v1.ListMessagesRequest,
        key=key,
        kinds=[v1.MessageKind.Value(f"MESSAGE_KIND_{kind.name}") for kind in kinds],
        events=events,
        page_size=page_size,
        form=FORM,
    )
    if start_time is not None:
        set_time(request.start_time, start_time, "start_time")
    if end_time is not None:
        set_time(request.end_time, end_time, "end_time")
    return request


# Circles are found by the depth of recursion, which is cheaper than remembering all objects.
_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, check_circular=False, separators=(",", ":")
)


def json_text(value: JsonObject | None, field: str) -> str | None:
    """Return a JSON object as text; None stays absent.

    Raises:
        InvalidArgument: If it is no object, or not JSON: NaN, an infinity
            (NUMBER_NOT_FINITE), a circle (PAYLOAD_TOO_DEEP), other types (JSON_INVALID).
    """
    return None if value is None else _encoded(value, field)


def _encoded(value: JsonObject, field: str) -> str:
    if not isinstance(value, Mapping):
        raise _not_json(f"is no object but {type(value).__name__}", "JSON_INVALID", field)
    try:
        return _ENCODER.encode(value if isinstance(value, dict) else dict(value))
    except ValueError as error:
        raise _not_json("has a number that is not finite", "NUMBER_NOT_FINITE", field) from error
    except RecursionError as error:
        raise _not_json("nests too deep", "PAYLOAD_TOO_DEEP", field) from error
    except TypeError as error:
        raise _not_json(f"is not JSON: {error}", "JSON_INVALID", field) from error


def _not_json(what: str, reason: str, field: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {what}", reason=reason, metadata={"field": field})


def _build(message_type: type[RequestT], /, **fields: Any) -> RequestT:
    try:
        return message_type(**fields)
    except ValueError as error:
        raise _not_unicode() from error


def _not_unicode() -> InvalidArgument:
    """Return the refusal of a lone surrogate, which a Python text may have and UTF-8 cannot."""
    return InvalidArgument("a text is not valid Unicode", reason="REQUEST_MALFORMED")
