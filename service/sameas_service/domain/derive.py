"""The exactness rule: who is who, as one pure function of the set of accepted messages.

Small, slow and obviously right. It is the model that the tests hold the store against, and
what as-of reads and previews are made of. `verify` and `rebuild` are made of its parts
(`in_force`, `canonical_users`, `DeviceFold` and `profile.fold`), over sorted rows of a ledger of
any size. Every derived table is a cache of its result.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

from sameas_service.domain import person_ids, profile
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import Message
from sameas_service.domain.operations import operations_of
from sameas_service.domain.ownership import SESSION_GAP_DEFAULT, Span, Unowned, span_at, spans_of
from sameas_service.domain.payload import Json
from sameas_service.domain.unlinks import in_force


class Rules(NamedTuple):
    """What is fixed for a workspace."""

    workspace: str = "default"
    session_gap: int = SESSION_GAP_DEFAULT


class Person(NamedTuple):
    """A person, whole."""

    person_id: str
    users: list[str]
    spans: list[Span]
    messages: list[Message]
    traits: dict[str, Json]


class World(NamedTuple):
    """Everybody: persons by id, and the person id of each user id and anonymous id."""

    people: dict[str, Person]
    user_ids: dict[str, str]
    anonymous_ids: dict[str, str]


def derive(messages: Iterable[Message], rules: Rules) -> World:
    """Return who is who, given these messages, in any order, each once."""
    counted = sorted(in_force(messages), key=attrgetter("position"))
    canonical = canonical_users(links_of(counted))
    user_ids = _user_ids(counted, canonical, rules.workspace)
    held: dict[str, list[Message]] = defaultdict(list)
    owned: dict[str, list[Span]] = defaultdict(list)
    anonymous_ids: dict[str, str] = {}
    for device, of_device in _by_device(counted):
        found = spans_of(device, of_device, rules.session_gap)
        persons = {span: _person_of(span, user_ids, rules.workspace) for span in found}
        for span in found:
            if isinstance(span, Span):
                owned[persons[span]].append(span)
        for message in of_device:
            place = span_at(found, message.position)
            assert place is not None, "a device's first span begins before every message"
            anonymous_ids[device] = persons[place]
            if message.user is None:
                held[persons[place]].append(message)
    for message in counted:
        if message.user is not None:
            held[user_ids[message.user]].append(message)
    users = defaultdict(list)
    for user, person_id in user_ids.items():
        users[person_id].append(user)
    people = {
        person_id: Person(
            person_id,
            sorted(users[person_id], key=lambda u: (canonical.get(u, u) != u, u)),
            owned[person_id],
            sorted(of, key=attrgetter("position")),
            traits_of(of),
        )
        for person_id, of in held.items()
    }
    return World(people, user_ids, anonymous_ids)


def traits_of(messages: Iterable[Message]) -> dict[str, Json]:
    """Return the profile of a person, given all their messages."""
    entries = [
        profile.Entry(m.position, m.user is not None, operations_of(m))
        for m in messages
        if m.has_operations
    ]
    return profile.values(profile.fold(entries).traits)


def _user_ids(
    messages: Iterable[Message], canonical: dict[str, str], workspace: str
) -> dict[str, str]:
    named = {m.user for m in messages if m.user is not None} | set(canonical)
    return {
        user: person_ids.of_user(workspace, canonical.get(user, user)) for user in sorted(named)
    }


def links_of(messages: Iterable[Message]) -> Iterator[Link]:
    """Yield the links among messages in force."""
    for message in messages:
        if message.is_link and message.source is not None and message.user is not None:
            yield Link(message.position, message.source, message.user)


def _person_of(span: Span | Unowned, user_ids: dict[str, str], workspace: str) -> str:
    if isinstance(span, Span):
        return user_ids[span.owner]
    return person_ids.of_segment(workspace, span.device, span.start)


def _by_device(ordered: Iterable[Message]) -> list[tuple[str, list[Message]]]:
    devices: dict[str, list[Message]] = defaultdict(list)
    for message in ordered:
        if message.device is not None:
            devices[message.device].append(message)
    return sorted(devices.items())
