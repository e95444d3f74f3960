"""Users and links: which user ids there are, and which of them are one person."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sameas_service.domain import person_ids
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import Position
from sameas_service.store.sqlite.connection import Insert, as_json, one


@dataclass(slots=True)
class User:
    """A user id, and the user that is canonical for its person; `named` says whether any
    message in force names it.
    """

    id: int
    name: str
    canonical: int
    named: bool


COLUMNS = "user.id, user.name, user.canonical, user.named"
"""What a `Row` has."""

Row = tuple[int, str, int, bool]

_BY_ID = f"""
    SELECT json_group_array(json_array({COLUMNS}))
    FROM user WHERE id IN (SELECT value FROM json_each(?))
"""  # noqa: S608
_MEMBERS = f"""
    SELECT json_group_array(json_array({COLUMNS}))
    FROM user WHERE canonical IN (SELECT value FROM json_each(?))
"""  # noqa: S608
_LINKS = """
    SELECT json_group_array(json_array(at, message_id, source, target))
    FROM link
    WHERE source IN (SELECT value FROM json_each(?1))
       OR target IN (SELECT value FROM json_each(?1))
"""
_INSERT = Insert(
    "user",
    5,
    """
    ON CONFLICT (id) DO UPDATE SET canonical = excluded.canonical, named = excluded.named
    """,
)
_INSERT_LINK = Insert("link (at, message_id, source, target)", 4)


class Users:
    """The users that a group of messages is about, by name and by surrogate."""

    def __init__(self, connection: sqlite3.Connection, workspace: int, name: str) -> None:
        self._connection = connection
        self._workspace = workspace
        self._workspace_name = name
        self._changed: dict[int, User] = {}
        self.made: list[User] = []
        self.by_name: dict[str, User] = {}
        self.by_id: dict[int, User] = {}

    def load(self, rows: Iterable[Row], names: Iterable[str], next_id: int) -> None:
        """Takes what was read of users, and makes those of the names that are not there."""
        self._add(rows)
        for name in names:
            if name not in self.by_name:
                user = User(next_id, name, next_id, named=False)
                self._put(user)
                self.made.append(user)
                next_id += 1

    def need(self, ids: Iterable[int]) -> None:
        """Reads users by surrogate, with their canonical ones, where they are not known."""
        unknown = {user for user in ids if user not in self.by_id}
        while unknown:
            self._add(one(self._connection, _BY_ID, as_json(list(unknown))))
            unknown = {self.by_id[user].canonical for user in unknown} - self.by_id.keys()

    def id_of(self, name: str | None) -> int | None:
        """A user's surrogate."""
        return None if name is None else self.by_name[name].id

    def is_named(self, name: str) -> bool:
        """Whether a message in force names the user."""
        return self.by_name[name].named

    def set_named(self, user: int, *, named: bool) -> None:
        """Notes that a message in force names the user, or that none does any more."""
        self.by_id[user].named = named
        self._changed[user] = self.by_id[user]

    def person_id(self, user: int) -> str:
        """The id of the user's person."""
        canonical = self.by_id[self.by_id[user].canonical]
        return person_ids.of_user(self._workspace_name, canonical.name)

    def person_ids(self, users: Iterable[User]) -> dict[int, str]:
        """The ids of users' persons as they are now, by the users' surrogates."""
        return {user.id: self.person_id(user.id) for user in users}

    def former_person_id(self, user: int) -> str:
        """The id that the person of a user had while that user was canonical."""
        return person_ids.of_user(self._workspace_name, self.by_id[user].name)

    def absorbed(self, relinked: Iterable[int]) -> list[str]:
        """The person ids of users who are not canonical any more, if anybody had them."""
        gone = [self.by_id[user] for user in sorted(relinked)]
        return [
            self.former_person_id(user.id)
            for user in gone
            if user.canonical != user.id and user.named
        ]

    def link(self, position: Position, source: int, target: int) -> None:
        """Adds a link; `refold` says what it does."""
        _INSERT_LINK.run(self._connection, [(*position, source, target)])

    def members(self, *of: int) -> list[User]:
        """All users of these users' persons."""
        self.flush()
        canonical = {self.by_id[user].canonical for user in of}
        self._add(one(self._connection, _MEMBERS, as_json(list(canonical))))
        return [user for user in self.by_id.values() if user.canonical in canonical]

    def refold(self, members: list[User]) -> set[int]:
        """Folds the links among the members of persons again.

        Returns:
            The canonical users, before and now, of the persons that it changed.
        """
        rows = one(self._connection, _LINKS, as_json([user.id for user in members]))
        folded = canonical_users(
            Link(Position(at, message_id), str(source), str(target))
            for at, message_id, source, target in rows
        )
        changed = set()
        for user in members:
            now = int(folded.get(str(user.id), user.id))
            if now != user.canonical:
                changed |= {user.canonical, now}
                user.canonical = now
                self._changed[user.id] = user
        self.flush()
        return changed

    def flush(self) -> None:
        """Writes what changed."""
        rows = [
            (u.id, self._workspace, u.name, u.canonical, int(u.named))
            for u in self._changed.values()
        ]
        _INSERT.run(self._connection, rows)
        self._changed.clear()

    def _add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row[0] not in self.by_id:
                user = User(*row)
                self.by_id[user.id] = self.by_name[user.name] = user

    def _put(self, user: User) -> None:
        self.by_id[user.id] = self.by_name[user.name] = self._changed[user.id] = user
