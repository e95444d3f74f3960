"""What the model says of a key, worked out apart from the code that answers reads."""

from collections.abc import Iterable
from typing import Any

from sameas_service.domain import person_ids
from sameas_service.domain.derive import Rules, World, derive
from sameas_service.domain.message import Message
from sameas_service.domain.ownership import segments, span_at, spans
from sameas_service.domain.unlinks import in_force
from sameas_service.resolver.facts import PersonKey
from sameas_service.resolver.read.persons import PersonView
from support.histories import DEVICES, USERS
from support.stored import Stored


def received(messages: Iterable[Message], upto: int) -> list[Message]:
    """Those that had come by then."""
    return [message for message in messages if message.received_at <= upto]


def all_keys(held: Stored) -> list[PersonKey]:
    """Every id of the random histories, and every person id that the store handed out."""
    handed_out = held.person_ids()
    return [
        *(PersonKey("user", user) for user in USERS),
        *(PersonKey("anonymous", device) for device in DEVICES),
        *(PersonKey("person", person_id) for person_id in sorted(handed_out)),
        PersonKey("user", "nobody"),
    ]


def person_id_of(key: PersonKey, messages: Iterable[Message], rules: Rules) -> str | None:
    """The id of the person that a key belongs to, given these messages; None for nobody."""
    known = list(messages)
    world = derive(known, rules)
    if key.by == "user":
        found = world.user_ids.get(key.value)
    elif key.by == "anonymous":
        found = world.anonymous_ids.get(key.value)
    else:
        found = _resolved(key.value, world, in_force(known), rules)
    return found if found in world.people else None


def _resolved(person_id: str, world: World, counted: Iterable[Message], rules: Rules) -> str | None:
    """Whom a person id stands for: a user's person, or the owner of a segment's start."""
    for user, now in world.user_ids.items():
        if person_ids.of_user(rules.workspace, user) == person_id:
            return now
    for device in world.anonymous_ids:
        for segment in segments(device, [m for m in counted if m.device == device]):
            if person_ids.of_segment(rules.workspace, device, segment.start) == person_id:
                own = spans(segment, rules.session_gap)
                span = span_at(own, segment.start)
                return person_id if span is None else world.user_ids[span.owner]
    return None


def expected_view(person_id: str | None, world: World) -> dict[str, Any] | None:
    """What a reader must see of a person."""
    if person_id is None:
        return None
    person = world.people[person_id]
    devices = {span.device for span in person.spans}
    if not person.users:
        devices = {m.device for m in person.messages if m.device is not None}
    times = [message.event_time for message in person.messages]
    return {
        "person_id": person_id,
        "user_ids": person.users,
        "anonymous_ids": sorted(devices),
        "anonymous_ids_truncated": False,
        "first_seen": min(times),
        "last_seen": max(times),
        "traits": person.traits,
    }


def as_fields(view: PersonView | None) -> dict[str, Any] | None:
    """A view in the same form."""
    if view is None:
        return None
    fields = view._asdict()
    return fields | {name: list(fields[name]) for name in ("user_ids", "anonymous_ids")}
