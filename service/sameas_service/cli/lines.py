"""The import format: one line of JSON in the Segment spec's words, as an item of `Ingest`.

What a line has beyond the words below (`integrations`, `channel`, `_metadata` ...) is
skipped. An explicit null and an empty text mean absent, everywhere. What the server would
refuse on its own (a placeholder for an id, a payload too large) is left to the server: here
only that is refused which cannot be said in the API's types.
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from sameas import v1
from sameas_service.cli import times
from sameas_service.domain.times import CLOCK_TOLERANCE

Fields = dict[str, Any]

# Message ids of lines that have none are UUIDv5 in this namespace. Never change it: a second
# import of the same file would count twice.
LINE_NAMESPACE = uuid.UUID("7f0c3b0e-51f5-5f0a-9a3f-6d1d7f2c9b54")

# The words of a `profile` line, each with the type that its value has.
PROFILE_WORDS: Final[dict[str, type]] = {
    "set": dict,
    "setOnce": dict,
    "unset": list,
    "increment": dict,
    "append": dict,
    "union": dict,
    "remove": dict,
}

_NAMES_OF_TYPES: Final[dict[type, str]] = {dict: "an object", list: "a list"}


class LineError(ValueError):
    """A line that says nothing the API could take.

    Attributes:
        reason: `LINE_INVALID` (not a JSON object), `TYPE_UNKNOWN`, `FIELD_INVALID` (a value
            of a wrong type) or `TIMESTAMP_INVALID`.
        message: a sentence for people, which does not repeat the value.
        field: the word of the line that is at fault, or empty.
    """

    def __init__(self, reason: str, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field


class _Times(NamedTuple):
    """The times of a line, in microseconds since 1970; `client` where it is not `event`."""

    event: int | None
    sent: int | None
    received: int | None
    client: int | None = None


def item_of(line: bytes) -> v1.IngestItem:
    """Return the message that a line holds.

    A line without `messageId` gets an id made from its content, so that a second import of
    it changes nothing; hence two such lines that are equal count as one message.

    Raises:
        LineError: It is not a JSON object, has no known type, or a value of a wrong type.
    """
    fields = _fields_of(line)
    make = _MAKERS.get(_text(fields, "type"))
    if make is None:
        raise _type_error(fields)
    moments = _times_of(fields)
    item = make(fields, moments)
    if moments.received is not None:
        item.received_at.CopyFrom(times.timestamp_of(moments.received))
    if moments.client is not None:
        item.original_timestamp.CopyFrom(times.timestamp_of(moments.client))
    return item


def derived_message_id(fields: Fields) -> str:
    """Return the id of a line that has none: a UUIDv5 of its fields, in any order.

    All fields count that are not absent, even those that the import skips: two lines that
    differ anywhere were two calls.
    """
    present = {name: value for name, value in fields.items() if value not in (None, "")}
    try:
        canonical = orjson.dumps(present, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise LineError("LINE_INVALID", "the line nests too deep") from error
    digest = hashlib.sha1(LINE_NAMESPACE.bytes + canonical, usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def _fields_of(line: bytes) -> Fields:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineError("LINE_INVALID", f"the line is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise LineError("LINE_INVALID", "the line is JSON, but not an object")
    return fields


def _type_error(fields: Fields) -> LineError:
    if not _text(fields, "type"):
        return LineError("TYPE_UNKNOWN", "the line has no type", field="type")
    known = ", ".join(_MAKERS)
    return LineError("TYPE_UNKNOWN", f"the type is none of {known}", field="type")


# ---- One function for each type -----------------------------------------------------------


def _identify(fields: Fields, moments: _Times) -> v1.IngestItem:
    call = v1.IdentifyRequest(**_shared(fields, moments))
    traits = _object(fields, "traits")
    if traits is None:
        # RudderStack's SDKs keep the traits of a user in the context.
        traits = _object(_object(fields, "context") or {}, "traits", within="context.")
    if traits is not None:
        call.traits_json = _json(traits, "traits")
    return v1.IngestItem(identify=call)


def _alias(fields: Fields, moments: _Times) -> v1.IngestItem:
    anonymous_id = _text(fields, "previousId")
    user_id = _text(fields, "previousUserId")
    if anonymous_id and user_id:
        raise LineError(
            "FIELD_INVALID",
            "an alias has one source: previousId (a device) or previousUserId (a user)",
            field="previousId",
        )
    call = v1.AliasRequest(**_shared(fields, moments))
    if anonymous_id:
        call.previous_anonymous_id = anonymous_id
    elif user_id:
        call.previous_user_id = user_id
    return v1.IngestItem(alias=call)


def _track(fields: Fields, moments: _Times) -> v1.IngestItem:
    call = v1.TrackRequest(
        **_shared(fields, moments),
        kind=v1.MessageKind.MESSAGE_KIND_TRACK,
        event=_text(fields, "event"),
    )
    properties = _object(fields, "properties")
    if properties is not None:
        call.properties_json = _json(properties, "properties")
    return v1.IngestItem(track=call)


def _page(fields: Fields, moments: _Times) -> v1.IngestItem:
    return _view(fields, moments, v1.MessageKind.MESSAGE_KIND_PAGE)


def _screen(fields: Fields, moments: _Times) -> v1.IngestItem:
    return _view(fields, moments, v1.MessageKind.MESSAGE_KIND_SCREEN)


def _view(fields: Fields, moments: _Times, kind: v1.MessageKind.ValueType) -> v1.IngestItem:
    """Read a page or screen. RudderStack's mobile SDKs name a screen by `event`."""
    call = v1.TrackRequest(
        **_shared(fields, moments),
        kind=kind,
        event=_text(fields, "name") or _text(fields, "event"),
    )
    properties = _object(fields, "properties")
    category = _text(fields, "category")
    if category:
        # The API has no category; Segment's browser SDK puts it there as well.
        properties = {"category": category, **(properties or {})}
    if properties is not None:
        call.properties_json = _json(properties, "properties")
    return v1.IngestItem(track=call)


def _group(fields: Fields, moments: _Times) -> v1.IngestItem:
    call = v1.TrackRequest(
        **_shared(fields, moments),
        kind=v1.MessageKind.MESSAGE_KIND_GROUP,
        event=_text(fields, "groupId"),
    )
    traits = _object(fields, "traits")
    if traits is not None:
        call.properties_json = _json(traits, "traits")
    return v1.IngestItem(track=call)


def _reset(fields: Fields, moments: _Times) -> v1.IngestItem:
    return v1.IngestItem(reset=v1.ResetRequest(**_shared(fields, moments)))


def _profile(fields: Fields, moments: _Times) -> v1.IngestItem:
    operations: Fields = {}
    for word, expected in PROFILE_WORDS.items():
        value = fields.get(word)
        if value is None or value == "":
            continue
        if not isinstance(value, expected):
            raise _wrong_type(word, _NAMES_OF_TYPES[expected])
        operations[word] = value
    call = v1.UpdateProfileRequest(**_shared(fields, moments))
    call.operations_json = _json(operations, "")
    return v1.IngestItem(update_profile=call)


def _merge(fields: Fields, moments: _Times) -> v1.IngestItem:
    message = v1.MergeRequest(
        message_id=_message_id(fields),
        user_id=_text(fields, "userId"),
        previous_user_id=_text(fields, "previousUserId"),
        reason=_text(fields, "reason"),
    )
    if moments.event is not None:
        message.timestamp.CopyFrom(times.timestamp_of(moments.event))
    return v1.IngestItem(merge=message)


def _unlink(fields: Fields, moments: _Times) -> v1.IngestItem:
    anonymous_id = _text(fields, "anonymousId")
    other_user_id = _text(fields, "previousUserId")
    if anonymous_id and other_user_id:
        raise LineError(
            "FIELD_INVALID",
            "an unlink parts a user from anonymousId or from previousUserId, not from both",
            field="anonymousId",
        )
    message = v1.UnlinkRequest(
        message_id=_message_id(fields),
        user_id=_text(fields, "userId"),
        reason=_text(fields, "reason"),
    )
    if anonymous_id:
        message.anonymous_id = anonymous_id
    elif other_user_id:
        message.previous_user_id = other_user_id
    if moments.event is not None:
        message.timestamp.CopyFrom(times.timestamp_of(moments.event))
    return v1.IngestItem(unlink=message)


_MAKERS: Final[dict[str, Callable[[Fields, _Times], v1.IngestItem]]] = {
    "track": _track,
    "identify": _identify,
    "alias": _alias,
    "page": _page,
    "screen": _screen,
    "group": _group,
    "reset": _reset,
    "profile": _profile,
    "merge": _merge,
    "unlink": _unlink,
}


# ---- What the types share -----------------------------------------------------------------


def _shared(fields: Fields, moments: _Times) -> dict[str, Any]:
    """Return the arguments that all calls take."""
    shared: dict[str, Any] = {
        "message_id": _message_id(fields),
        "anonymous_id": _text(fields, "anonymousId"),
        "user_id": _text(fields, "userId"),
    }
    if moments.event is not None:
        shared["timestamp"] = times.timestamp_of(moments.event)
    if moments.sent is not None:
        shared["sent_at"] = times.timestamp_of(moments.sent)
    context = _object(fields, "context")
    if context is not None:
        shared["context_json"] = _json(context, "context")
    return shared


def _message_id(fields: Fields) -> str:
    return _text(fields, "messageId") or derived_message_id(fields)


def _times_of(fields: Fields) -> _Times:
    """Return the times of a line, of which `timestamp` is final.

    `originalTimestamp` is the client's own: without the other it is corrected by the line's
    own `sentAt` and `receivedAt`, if these differ by more than a minute.
    """
    sent = _micros(fields, "sentAt")
    received = _micros(fields, "receivedAt")
    client = _micros(fields, "originalTimestamp")
    event = _micros(fields, "timestamp")
    if event is None:
        event = client
        if client is not None and sent is not None and received is not None:
            is_wrong = abs(received - sent) > CLOCK_TOLERANCE
            event = received - (sent - client) if is_wrong else client
    return _Times(event, sent, received, None if client == event else client)


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(name, "a text")
    return value


def _object(fields: Fields, name: str, *, within: str = "") -> Fields | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise _wrong_type(within + name, "an object")
    return value


def _micros(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        return times.micros_of(value)
    except ValueError as error:
        raise LineError("TIMESTAMP_INVALID", f"{name}: {error}", field=name) from error


def _json(value: Fields, field: str) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise LineError("FIELD_INVALID", "the value nests too deep", field=field) from error


def _wrong_type(field: str, expected: str) -> LineError:
    return LineError("FIELD_INVALID", f"{field} is not {expected}", field=field)
