"""Persons as a reader sees them, from one snapshot: two questions, whatever their number."""

from collections.abc import Sequence
from typing import NamedTuple

from sameas_service.domain.limits import ANONYMOUS_IDS_MAX
from sameas_service.domain.payload import Json
from sameas_service.resolver import profile_codec
from sameas_service.resolver.facts import (
    AnonymousSegment,
    PersonFacts,
    PersonKey,
    PersonRef,
    Workspace,
    person_id_of,
)
from sameas_service.resolver.ports import ReadTransaction


class PersonView(NamedTuple):
    """What a reader sees of a person. Times are microseconds."""

    person_id: str
    user_ids: Sequence[str]
    anonymous_ids: Sequence[str]
    anonymous_ids_truncated: bool
    first_seen: int
    last_seen: int
    traits: dict[str, Json]


def persons(
    transaction: ReadTransaction, workspace: Workspace, keys: Sequence[PersonKey]
) -> list[PersonView | None]:
    """Return the person of each key; None where no message named it."""
    found = transaction.resolve(workspace, keys)
    known = list({person for person in found if person is not None})
    if not known:
        return [None] * len(keys)
    facts = transaction.person_facts(workspace, known)
    views = {person: _view(person, facts, workspace) for person in known if person in facts.seen}
    return [None if person is None else views.get(person) for person in found]


def _view(person: PersonRef, facts: PersonFacts, workspace: Workspace) -> PersonView:
    first, last = facts.seen[person]
    person_id = person_id_of(person, workspace)
    is_anonymous = isinstance(person, AnonymousSegment)
    devices = [person.name] if is_anonymous else facts.devices.get(person, [])
    return PersonView(
        person_id,
        () if is_anonymous else _user_ids(person, facts),
        devices[:ANONYMOUS_IDS_MAX],
        len(devices) > ANONYMOUS_IDS_MAX,
        first // 2,
        last // 2,
        profile_codec.values(facts.profiles.get(person_id, "{}")),
    )


def _user_ids(person: PersonRef, facts: PersonFacts) -> list[str]:
    """Return a person's user ids, the canonical one first and the others in order."""
    others = sorted(name for name in facts.users.get(person, ()) if name != person.name)
    return [person.name, *others]
