"""Messages and people as JSON, messages in the words of the import format.

A message written so and imported elsewhere is the same message.
"""

from typing import Any

import orjson

from sameas import v1
from sameas_service.cli import times
from sameas_service.cli.connection import bare_name

_PREFIX = "MESSAGE_KIND_"
# Where `track` has `event` and `properties`, these have other words.
_EVENT_WORDS = {"page": "name", "screen": "name", "group": "groupId"}
_PROPERTIES_WORDS = {"identify": "traits", "group": "traits"}

# These have no properties: what else the server has of them, as the reason, are words of the
# line.
_WITHOUT_PROPERTIES = ("alias", "merge", "unlink")


def kind_word(kind: v1.MessageKind.ValueType) -> str:
    """Return the kind as the import format has it: `track` for MESSAGE_KIND_TRACK."""
    return bare_name(v1.MessageKind.Name, kind, _PREFIX).lower()


def message_fields(message: v1.Message) -> dict[str, Any]:
    """Return a message as a line of the import format; what is absent has no key."""
    word = kind_word(message.kind)
    fields = {
        "type": word,
        "messageId": message.message_id,
        "timestamp": _time(message, "timestamp"),
        "sentAt": _time(message, "sent_at"),
        "receivedAt": _time(message, "received_at"),
        "anonymousId": message.anonymous_id,
        "userId": message.user_id,
        "previousId": message.previous_anonymous_id,
        "previousUserId": message.previous_user_id,
        _EVENT_WORDS.get(word, "event"): message.event,
    }
    fields = {name: value for name, value in fields.items() if value}
    if message.properties_json:
        properties = orjson.loads(message.properties_json)
        if word in _WITHOUT_PROPERTIES:
            fields.update({name: value for name, value in properties.items() if value})
        else:
            fields[_PROPERTIES_WORDS.get(word, "properties")] = properties
    if message.operations_json:
        fields.update(orjson.loads(message.operations_json))
    if message.context_json:
        fields["context"] = orjson.loads(message.context_json)
    return fields


def person_fields(person: v1.Person) -> dict[str, Any]:
    """Return a person, with all keys."""
    return {
        "personId": person.person_id,
        "userId": person.user_id or None,
        "userIds": list(person.user_ids),
        "anonymousIds": list(person.anonymous_ids),
        "anonymousIdsTruncated": person.anonymous_ids_truncated,
        "firstSeen": _time(person, "first_seen"),
        "lastSeen": _time(person, "last_seen"),
        "traits": traits_of(person),
    }


def traits_of(person: v1.Person) -> dict[str, Any]:
    """Return the profile of a person."""
    traits: dict[str, Any] = orjson.loads(person.traits_json or "{}")
    return traits


def _time(message: v1.Message | v1.Person, name: str) -> str | None:
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    return times.text_of(getattr(message, name))
