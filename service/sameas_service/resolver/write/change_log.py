"""The log of changes of who is who: what a group adds to it."""

from typing import Protocol

from sameas_service.domain.changes import Change, ChangeKind
from sameas_service.domain.message import Position
from sameas_service.resolver.facts import AnonymousSegment, Holder, User
from sameas_service.resolver.write.unit_of_work import UnitOfWork


class Persons(Protocol):
    """The persons of users and holders, as the group has them so far."""

    by_id: dict[int, User]

    def need(self, ids: list[int]) -> None:
        """Read users that are not known yet."""

    def person_id_of(self, holder: Holder) -> str:
        """Return the id of a holder's person."""


def device_changed(
    unit: UnitOfWork,
    cause: tuple[str, ChangeKind],
    name: str,
    persons: Persons,
    held: tuple[Holder | None, Holder | None],
) -> None:
    """Log who holds a device's latest message, if that is another person than before.

    Args:
        unit: takes the row.
        cause: the id of the message that did it, and what it means.
        name: the anonymous id.
        persons: knows the persons.
        held: who held the message before, and who holds it now.
    """
    former, now = (_person_id(persons, holder) for holder in held)
    if former != now:
        message_id, kind = cause
        unit.rows.changes.append((message_id, Change(kind, False, name, now, former)))  # noqa: FBT003


def past_changed(
    unit: UnitOfWork, message_id: str, name: str, persons: Persons, holder: Holder | None
) -> None:
    """Log that an earlier stretch of a device changed hands."""
    person = _person_id(persons, holder)
    change = Change(ChangeKind.PAST, False, name, person, person)  # noqa: FBT003
    unit.rows.changes.append((message_id, change))


def user_created(unit: UnitOfWork, message_id: str, persons: Persons, user: int) -> None:
    """Log that a user id was used for the first time."""
    name, person = persons.by_id[user].name, _person_id(persons, user)
    change = Change(ChangeKind.CREATED, True, name, person, "")  # noqa: FBT003
    unit.rows.changes.append((message_id, change))


def user_gone(unit: UnitOfWork, message_id: str, name: str, former: str) -> None:
    """Log that no message in force names a user any more."""
    change = Change(ChangeKind.GONE, True, name, "", former)  # noqa: FBT003
    unit.rows.changes.append((message_id, change))


def relinked(
    unit: UnitOfWork, message_id: str, persons: Persons, before: dict[int, str], kind: ChangeKind
) -> None:
    """Log the ids of users, and of their devices, that are another person's than before.

    Args:
        unit: takes the rows.
        message_id: of the link or unlink.
        persons: knows the persons as they are now.
        before: the users that may have changed person, and its id until now.
        kind: joined or split.
    """
    now = {user: persons.person_id_of(user) for user in before}
    moved = sorted(user for user, person in before.items() if now[user] != person)
    changes = [
        Change(kind, True, persons.by_id[user].name, now[user], before[user])  # noqa: FBT003
        for user in moved
        if persons.by_id[user].named
    ]
    if moved:
        devices = unit.ask.devices_of(unit.workspace, moved)
        changes += [
            Change(kind, False, name, now[owner], before[owner])  # noqa: FBT003
            for name, owner in sorted(devices)
        ]
    unit.rows.changes += [(message_id, change) for change in changes]


def kind_of(
    now: Holder | None, before: Holder | None, segment: Position, *, in_order: bool
) -> ChangeKind:
    """Return what it means that somebody else holds a device's latest message."""
    if now is None:
        return ChangeKind.GONE
    if before is None or (in_order and isinstance(now, AnonymousSegment)):
        return ChangeKind.CREATED
    if isinstance(now, AnonymousSegment):
        return ChangeKind.SPLIT
    if isinstance(before, AnonymousSegment) and before.start == segment:
        return ChangeKind.JOINED
    return ChangeKind.SWITCHED


def _person_id(persons: Persons, holder: Holder | None) -> str:
    if holder is None:
        return ""
    if isinstance(holder, int):
        persons.need([holder])
    return persons.person_id_of(holder)
