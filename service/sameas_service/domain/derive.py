"""The exactness rule: who is who, as one pure function of the set of accepted messages.

Small, slow and obviously right. It is the model that the tests hold the store against, and
what verify, rebuild, as-of reads and previews are made of. Every derived table is a cache of
what it gives.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sameas_service.domain import person_ids, profile
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import Message
from sameas_service.domain.operations import operations_of
from sameas_service.domain.ownership import (
    SESSION_GAP_DEFAULT,
    Segment,
    Span,
    owner_at,
    segments,
    spans,
)
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
    """Who is who, given these messages, in any order, each once."""
    counted = sorted(in_force(messages), key=lambda m: m.position)
    canonical = canonical_users(
        Link(m.position, m.source, m.user)
        for m in counted
        if m.is_link and m.source is not None and m.user is not None
    )
    user_ids = _user_ids(counted, canonical, rules.workspace)
    held: dict[str, list[Message]] = defaultdict(list)
    owned: dict[str, list[Span]] = defaultdict(list)
    anonymous_ids: dict[str, str] = {}
    for segment in _all_segments(counted):
        own = spans(segment, rules.session_gap)
        nobody = person_ids.of_segment(rules.workspace, segment.device, segment.start)
        for span in own:
            owned[user_ids[span.owner]].append(span)
        for message in segment.messages:
            owner = owner_at(own, segment, message.position)
            anonymous_ids[segment.device] = nobody if owner is None else user_ids[owner]
            if message.user is None:
                held[anonymous_ids[segment.device]].append(message)
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
            sorted(of, key=lambda m: m.position),
            traits_of(of),
        )
        for person_id, of in held.items()
    }
    return World(people, user_ids, anonymous_ids)


def traits_of(messages: Iterable[Message]) -> dict[str, Json]:
    """The profile of a person, given all their messages."""
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


def _all_segments(messages: Iterable[Message]) -> list[Segment]:
    devices: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.device is not None:
            devices[message.device].append(message)
    return [segment for device in sorted(devices) for segment in segments(device, devices[device])]
