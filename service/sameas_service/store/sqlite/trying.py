"""Previews: a message is taken, what it changed is looked at, and the caller rolls back.

So a preview cannot differ from what then happens. It looks at the one device and the users
that the message names, and counts, but never reads, what moves.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sameas_service.domain import person_ids, profile
from sameas_service.domain.errors import Refused
from sameas_service.domain.message import START, Message, Position
from sameas_service.domain.payload import Json
from sameas_service.domain.preview import Moved, Preview, TraitChange
from sameas_service.store.sqlite import changes, devices, profiles
from sameas_service.store.sqlite.append import append
from sameas_service.store.sqlite.connection import as_json, one
from sameas_service.store.sqlite.devices import FOREVER
from sameas_service.store.sqlite.subject import Workspace

_CHANGES_MAX = 100_000
_LAST_CURSOR = "SELECT ifnull(max(cursor), 0) FROM change"
_USERS = """
    SELECT json_group_array(json_array(
        user.id, canonical.name,
        (
            SELECT count(*) FROM message
            WHERE message.user = user.id AND message.message_id <> ?3
        ),
        (
            SELECT count(*) FROM stretch JOIN message
                ON message.device = stretch.device AND message.user IS NULL
                AND (message.at, message.message_id) >= (stretch.start_at, stretch.start_id)
                AND (message.at, message.message_id) < (stretch.end_at, stretch.end_id)
            WHERE stretch.owner = user.id AND stretch.device IS NOT ?4
                AND message.message_id <> ?3
        )
    ))
    FROM user JOIN user AS canonical ON canonical.id = user.canonical
    WHERE user.canonical IN (
        SELECT canonical FROM user
        WHERE workspace = ?1 AND name IN (SELECT value FROM json_each(?2))
    )
"""
_PERSONS = """
    SELECT json_group_array(json_array(user.id, canonical.name))
    FROM user JOIN user AS canonical ON canonical.id = user.canonical
    WHERE user.id IN (SELECT value FROM json_each(?))
"""
_COUNT = """
    SELECT json_group_array((
        SELECT count(*) FROM message
        WHERE device = ?1 AND user IS NULL AND message_id <> ?2
            AND (at, message_id) >= (value ->> 0, value ->> 1)
            AND (at, message_id) < (value ->> 2, value ->> 3)
    ))
    FROM json_each(?3)
"""

Stretch = tuple[Position, str]
"""Where a stretch of the device starts, and the person who holds it."""


@dataclass
class _Picture:
    """What there is around a message: its device's stretches and its users' persons, each
    user with a count of the messages that name them and of those on their other devices.
    """

    stretches: list[Stretch]
    users: dict[int, tuple[str, int, int]]
    traits: dict[str, dict[str, Json]]


def try_out(
    connection: sqlite3.Connection, workspace: Workspace, message: Message
) -> Preview | Refused:
    """Takes a message inside a transaction, which the caller may roll back; what it changed."""
    view = _Viewer(connection, workspace, message)
    before = view.picture()
    (cursor,) = connection.execute(_LAST_CURSOR).fetchone()
    (answer,) = append(connection, workspace, [message])
    if isinstance(answer, Refused):
        return answer
    after = view.picture()
    log = changes.behind(connection, workspace, cursor, _CHANGES_MAX)
    return Preview(
        answer,
        [logged.change for logged in log],
        view.moved(before, after),
        _trait_changes(before, after),
    )


class _Viewer:
    """Looks at the device and the users that one message names."""

    def __init__(
        self, connection: sqlite3.Connection, workspace: Workspace, message: Message
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._message = message

    def picture(self) -> _Picture:
        """What there is now."""
        device = self._device()
        users = self._users(device)
        stretches = [] if device is None else self._stretches(device)
        persons = {person for person, *_ in users.values()} | {person for _, person in stretches}
        known = profiles.load(self._connection, persons)
        traits = {person: profile.values(known.get(person, {})) for person in persons}
        return _Picture(stretches, users, traits)

    def moved(self, before: _Picture, after: _Picture) -> list[Moved]:
        """How many messages have another person, by the two persons."""
        counts: Counter[tuple[str, str]] = Counter()
        for user, (person, named, elsewhere) in before.users.items():
            now, still_named, _ = after.users.get(user, ("", 0, 0))
            counts[person, ""] += named - still_named
            counts[person, now] += still_named + elsewhere
        counts += self._moved_on_device(before.stretches, after.stretches)
        return [
            Moved(former, person, count)
            for (former, person), count in sorted(counts.items())
            if former != person and count
        ]

    def _moved_on_device(
        self, before: list[Stretch], after: list[Stretch]
    ) -> Counter[tuple[str, str]]:
        device = self._device()
        if device is None:
            return Counter()
        edges = sorted({start for start, _ in before} | {start for start, _ in after})
        spans = [
            (start, end, pair)
            for start, end in zip(edges, [*edges[1:], FOREVER], strict=True)
            if (pair := (_at(before, start), _at(after, start)))[0] != pair[1]
        ]
        asked = as_json([(*start, *end) for start, end, _ in spans])
        found = one(self._connection, _COUNT, device, self._message.message_id, asked)
        counts: Counter[tuple[str, str]] = Counter()
        for (*_, pair), count in zip(spans, found, strict=True):
            counts[pair] += count
        return counts

    def _device(self) -> int | None:
        if self._message.device is None:
            return None
        found = devices.load(self._connection, self._workspace.id, [self._message.device])
        return found[0].id if found else None

    def _users(self, device: int | None) -> dict[int, tuple[str, int, int]]:
        names = [name for name in (self._message.user, self._message.source) if name]
        rows = one(
            self._connection,
            _USERS,
            self._workspace.id,
            as_json(names),
            self._message.message_id,
            device,
        )
        return {
            user: (person_ids.of_user(self._workspace.name, name), named, elsewhere)
            for user, name, named, elsewhere in rows
        }

    def _stretches(self, device: int) -> list[Stretch]:
        rows = devices.rows(self._connection, device)
        owners = as_json([row.owner for row in rows if row.owner is not None])
        names = dict(one(self._connection, _PERSONS, owners))
        stretches = [
            (
                row.start,
                self._nobody(row.start)
                if row.owner is None
                else person_ids.of_user(self._workspace.name, names[row.owner]),
            )
            for row in rows
        ]
        unclaimed = not rows or rows[0].start != START
        return [(START, self._nobody(START)), *stretches] if unclaimed else stretches

    def _nobody(self, start: Position) -> str:
        assert self._message.device is not None, "only a device has segments"
        return person_ids.of_segment(self._workspace.name, self._message.device, start)


def _at(stretches: Iterable[Stretch], position: Position) -> str:
    """Who holds a position; empty where the device is not known yet."""
    held = ""
    for start, person in stretches:
        if start <= position:
            held = person
    return held


def _trait_changes(before: _Picture, after: _Picture) -> list[TraitChange]:
    found = []
    for person in sorted(before.traits.keys() | after.traits.keys()):
        old, new = before.traits.get(person, {}), after.traits.get(person, {})
        for trait in sorted(old.keys() | new.keys()):
            former = (old[trait],) if trait in old else ()
            value = (new[trait],) if trait in new else ()
            if former != value or repr(former) != repr(value):
                found.append(TraitChange(person, trait, former, value))
    return found
