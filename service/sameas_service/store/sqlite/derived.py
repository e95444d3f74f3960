"""What the derived tables must hold, computed from the ledger into the scratch database.

The rules are those of `domain`, in their plain form. The ledger is read in order, piece by
piece: in memory are at most one visit of a device, the links of one person, and the operations
of one person.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from sameas_service.domain import profile
from sameas_service.domain.kinds import Kind
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import START, Message, Position, after
from sameas_service.domain.operations import parse_operations
from sameas_service.domain.ownership import cut
from sameas_service.store.sqlite import profiles, scratch
from sameas_service.store.sqlite.connection import as_json, one

Progress = Callable[[str, int, int], None]
"""Is told what is being done, and how much of how much is."""

ROWS_TOGETHER = 5_000
"""Rows that are written, and told of, together."""


_NEXT_LINKED = "SELECT min(user) FROM fresh.linked"
_COMPONENT = """
    WITH RECURSIVE member (user) AS (
        SELECT ?
        UNION SELECT link.target FROM member JOIN fresh.link ON link.source = member.user
        UNION SELECT link.source FROM member JOIN fresh.link ON link.target = member.user
    )
    SELECT json_group_array(user) FROM member
"""
_LINKS_AMONG = """
    SELECT json_group_array(json_array(at, message_id, source, target))
    FROM fresh.link WHERE source IN (SELECT value FROM json_each(?))
"""
_TIMELINES = """
    SELECT counted.device, workspace.session_gap, workspace.id, kind, at, message_id, user, speaks
    FROM counted JOIN main.workspace ON workspace.id = counted.workspace
    WHERE counted.device IS NOT NULL
    ORDER BY counted.device, at, message_id
"""
_OPERATIONS = """
    SELECT person_id, at, message_id, ifnull(user, struck), kind, payload
    FROM fresh.spoken JOIN main.message USING (seq)
    ORDER BY person_id
"""
_LOST = """
    SELECT
        (SELECT count(*) FROM fresh.device WHERE id NOT IN (SELECT id FROM main.device))
        + (SELECT count(*) FROM fresh.user WHERE id NOT IN (SELECT id FROM main.user))
"""


def compute(
    connection: sqlite3.Connection, session_gaps: Mapping[int, int], progress: Progress
) -> int:
    """Attaches the scratch database as `fresh` and fills it from the ledger.

    Nothing else is written.

    Args:
        connection: the one connection to the database.
        session_gaps: in microseconds, by workspace, where another one is wanted than stored.
        progress: told of each step.

    Returns:
        How many messages the ledger has.
    """
    messages = _count(connection, "SELECT count(*) FROM main.message")
    scratch.attach(connection)
    connection.execute("BEGIN")
    try:
        for statement in scratch.BEFORE_DEVICES:
            connection.execute(statement)
        _fold_links(connection)
        _follow_devices(connection, session_gaps, _counted("timelines", messages, progress))
        for statement in scratch.BEHIND_DEVICES:
            connection.execute(statement)
        spoken = _count(connection, "SELECT count(*) FROM fresh.spoken")
        _fold_profiles(connection, _counted("profiles", spoken, progress))
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
    return messages


def names_lost(connection: sqlite3.Connection) -> int:
    """How many devices and users the computed tables have whose names are nowhere kept."""
    return _count(connection, _LOST)


def _count(connection: sqlite3.Connection, sql: str) -> int:
    found: int = connection.execute(sql).fetchone()[0]
    return found


def _counted(step: str, total: int, progress: Progress) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Passes rows on, and tells now and then how many there were."""

    def passed(rows: Iterable[Any]) -> Iterator[Any]:
        progress(step, 0, total)
        for number, row in enumerate(rows, 1):
            yield row
            if number % ROWS_TOGETHER == 0:
                progress(step, number, total)
        progress(step, total, total)

    return passed


def _fold_links(connection: sqlite3.Connection) -> None:
    """Finds the canonical user of each linked one, person by person."""
    while (user := connection.execute(_NEXT_LINKED).fetchone()[0]) is not None:
        members = as_json(one(connection, _COMPONENT, user))
        canonical = canonical_users(
            Link(Position(at, message_id), str(source), str(target))
            for at, message_id, source, target in one(connection, _LINKS_AMONG, members)
        )
        connection.executemany(
            "UPDATE fresh.user SET canonical = ? WHERE id = ?",
            [(int(now), int(user)) for user, now in canonical.items()],
        )
        connection.execute(
            "DELETE FROM fresh.linked WHERE user IN (SELECT value FROM json_each(?))", (members,)
        )


class _Timeline:
    """One device, told of its messages in order: its state, and the row that is open."""

    def __init__(
        self, device: int, session_gap: int, keep: Callable[[tuple[Any, ...]], None]
    ) -> None:
        self._device = device
        self._session_gap = session_gap
        self._keep = keep
        self._segment = START
        self._start, self._owner, self._claim = START, "", START
        self._visit: list[Message] = []
        self._last = START
        self._has_operations = False

    def take(self, message: Message, *, speaks: bool) -> None:
        self._last = message.position
        if message.kind is Kind.RESET:
            self._close()
            self._segment = self._start = after(message.position)
            self._visit.clear()
        elif message.user is None:
            self._has_operations |= speaks
            if self._visit and self._pause(message) > self._session_gap:
                self._visit.clear()
            self._visit.append(message)
        else:
            self._take_claim(message, message.user)
            self._visit.clear()

    def end(self) -> tuple[Any, ...]:
        """The device's row; to be asked for behind its last message."""
        owner = int(self._owner) if self._owner else None
        self._close()
        visit = self._visit[0].position if self._visit else (None, None)
        return (
            *(self._device, *self._last, owner, *self._segment, *visit),
            *(1, int(self._has_operations)),
        )

    def _take_claim(self, claim: Message, user: str) -> None:
        if self._owner == user:
            return
        start = self._start
        if self._owner:
            self._visit.append(claim)
            start = cut(self._visit, self._session_gap)
            self._close()
        self._start, self._owner, self._claim = start, user, claim.position

    def _close(self) -> None:
        """Keeps the open row, unless it is a first segment's that nobody owns."""
        if self._owner:
            self._keep((self._device, *self._start, int(self._owner), *self._claim))
        elif self._start != START:
            self._keep((self._device, *self._start, None, None, None))
        self._owner = ""

    def _pause(self, message: Message) -> int:
        return message.event_time - self._visit[-1].event_time


def _follow_devices(
    connection: sqlite3.Connection,
    session_gaps: Mapping[int, int],
    counted: Callable[[Iterable[Any]], Iterator[Any]],
) -> None:
    spans: list[tuple[Any, ...]] = []
    found: list[tuple[Any, ...]] = []
    rows = counted(connection.execute(_TIMELINES))
    for (device, gap, workspace), of_device in groupby(rows, key=lambda row: row[:3]):
        timeline = _Timeline(device, session_gaps.get(workspace, gap), spans.append)
        for *_, kind, at, message_id, user, speaks in of_device:
            name = None if user is None else str(user)
            message = Message(_KINDS[kind], Position(at, message_id), 0, "", name)
            timeline.take(message, speaks=bool(speaks))
            _write(connection, "span", spans, ROWS_TOGETHER)
        found.append(timeline.end())
        _write(connection, "device", found, ROWS_TOGETHER)
    _write(connection, "span", spans)
    _write(connection, "device", found)


_KINDS = {int(kind): kind for kind in Kind}


def _fold_profiles(
    connection: sqlite3.Connection, counted: Callable[[Iterable[Any]], Iterator[Any]]
) -> None:
    found: list[tuple[Any, ...]] = []
    rows = counted(connection.execute(_OPERATIONS))
    for person_id, of_person in groupby(rows, key=lambda row: row[0]):
        entries = [
            profile.Entry(
                Position(at, message_id), user is not None, parse_operations(Kind(kind), text)
            )
            for _, at, message_id, user, kind, text in of_person
        ]
        traits = profile.fold(entries).traits
        if traits:
            found.append((person_id, profiles.encode(traits)))
        _write(connection, "profile", found, ROWS_TOGETHER)
    _write(connection, "profile", found)


def _write(
    connection: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]], least: int = 1
) -> None:
    """Writes the rows and forgets them, if there are at least so many."""
    if len(rows) >= least:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO fresh.{table} VALUES ({marks})", rows)  # noqa: S608
        rows.clear()
