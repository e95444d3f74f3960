"""The log of changes of who is who."""

import sqlite3
from collections.abc import Iterable

from sameas_service.domain.changes import Change, ChangeKind, LoggedChange
from sameas_service.domain.message import Position
from sameas_service.store.sqlite.connection import Insert, as_json, one
from sameas_service.store.sqlite.subject import Segment, Subject, Workspace, person_id
from sameas_service.store.sqlite.users import Users

_INSERT = Insert("change (workspace, message_id, kind, is_user, name, person_id, former)", 7)
_BEHIND = """
    SELECT json_group_array(json_array(
        cursor, message_id, kind, is_user, name, person_id, former
    ))
    FROM (SELECT * FROM change WHERE workspace = ? AND cursor > ? ORDER BY cursor LIMIT ?)
"""
_DEVICES_OF = """
    SELECT json_group_array(json_array(device.name, span.owner))
    FROM span JOIN device ON device.id = span.device
    WHERE span.owner IN (SELECT value FROM json_each(?))
        AND (span.start_at, span.start_id) <= (device.last_at, device.last_id)
        AND NOT EXISTS (
            SELECT 1 FROM span AS behind
            WHERE behind.device = span.device
                AND (behind.start_at, behind.start_id) > (span.start_at, span.start_id)
                AND (behind.start_at, behind.start_id) <= (device.last_at, device.last_id)
        )
"""


class ChangeLog:
    """Collects the changes of a group, and writes them with it."""

    def __init__(self, connection: sqlite3.Connection, workspace: Workspace, users: Users) -> None:
        self._connection = connection
        self._workspace = workspace
        self._users = users
        self._rows: list[tuple[str, Change]] = []

    def device(
        self,
        message_id: str,
        name: str,
        now: Subject | None,
        before: Subject | None,
        kind: ChangeKind,
    ) -> None:
        """Notes whose the latest message of a device is, and was, if that is not one person."""
        person, former = self._id(now), self._id(before)
        if person != former:
            self._note(message_id, kind, name, person, former, is_user=False)

    def past(self, message_id: str, name: str, holder: Subject | None) -> None:
        """Notes that an earlier stretch of a device changed hands."""
        person = self._id(holder)
        self._note(message_id, ChangeKind.PAST, name, person, person, is_user=False)

    def user(self, message_id: str, user: int) -> None:
        """Notes that a user id was used for the first time."""
        name, person = self._users.by_id[user].name, self._id(user)
        self._note(message_id, ChangeKind.CREATED, name, person, "", is_user=True)

    def relinked(self, message_id: str, before: dict[int, str], kind: ChangeKind) -> None:
        """Notes the ids of users, and their devices, whose person is another one than before.

        Args:
            message_id: of the link or unlink.
            before: the users whose person may have changed, and its id until now.
            kind: joined or split.
        """
        moved = {user for user, person in before.items() if self._id(user) != person}
        for user in sorted(moved):
            if self._users.by_id[user].named:
                name = self._users.by_id[user].name
                self._note(message_id, kind, name, self._id(user), before[user], is_user=True)
        for name, owner in sorted(one(self._connection, _DEVICES_OF, as_json(list(moved)))):
            self._note(message_id, kind, name, self._id(owner), before[owner], is_user=False)

    def gone(self, message_id: str, user: int, former: str) -> None:
        """Notes that no message in force names a user any more."""
        name = self._users.by_id[user].name
        self._note(message_id, ChangeKind.GONE, name, "", former, is_user=True)

    def flush(self) -> None:
        """Writes what was collected."""
        _INSERT.run(
            self._connection,
            [
                (self._workspace.id, message_id, int(kind), int(is_user), *rest)
                for message_id, (kind, is_user, *rest) in self._rows
            ],
        )
        self._rows.clear()

    def _id(self, subject: Subject | None) -> str:
        if subject is None:
            return ""
        if isinstance(subject, int):
            self._users.need([subject])
        return person_id(subject, self._workspace, self._users)

    def _note(
        self, message_id: str, kind: ChangeKind, name: str, now: str, former: str, *, is_user: bool
    ) -> None:
        self._rows.append((message_id, Change(kind, is_user, name, now, former)))


def kind_of(
    now: Subject | None, before: Subject | None, segment: Position, *, in_order: bool
) -> ChangeKind:
    """What it means that the holder of a device's latest message is another one."""
    if now is None:
        return ChangeKind.GONE
    if before is None or (in_order and isinstance(now, Segment)):
        return ChangeKind.CREATED
    if isinstance(now, Segment):
        return ChangeKind.SPLIT
    if isinstance(before, Segment) and before.start == segment:
        return ChangeKind.JOINED
    return ChangeKind.SWITCHED


def behind(
    connection: sqlite3.Connection, workspace: Workspace, cursor: int, limit: int
) -> list[LoggedChange]:
    """Changes behind a cursor, in order."""
    rows: Iterable[list[object]] = one(connection, _BEHIND, workspace.id, cursor, limit)
    return [
        LoggedChange(row[0], row[1], Change(ChangeKind(row[2]), bool(row[3]), *row[4:]))  # type: ignore[arg-type]
        for row in rows
    ]
