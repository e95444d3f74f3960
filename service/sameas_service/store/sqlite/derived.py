"""What the derived tables must hold, computed from the ledger into a scratch database.

The rules are those of `domain`, in their plain form. The scratch database lies in a temporary
file, and the ledger is read in order, piece by piece: in memory are at most one visit of a
device, the links of one person, and the operations of one person.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from sameas_service.domain import person_ids, profile
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import START, Kind, Message, Position, after
from sameas_service.domain.operations import parse_operations
from sameas_service.domain.ownership import cut
from sameas_service.store.sqlite import profiles
from sameas_service.store.sqlite.connection import as_json, one

Progress = Callable[[str, int, int], None]
"""Is told what is being done, and how much of how much is."""

ROWS_TOGETHER = 5_000
"""Rows that are written, and told of, together."""


class Table(NamedTuple):
    """A table with derived columns; the scratch database has one of the same name.

    Attributes:
        keys: the columns of its primary key.
        values: the other derived columns.
        is_kept: whether its rows are the ledger's, as names are, and only `values` derived.
    """

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    is_kept: bool = False


TABLES = (
    Table("unlink", ("workspace", "message_id"), ("device", "user", "source", "upto")),
    # The scratch table has only those rows of the ledger whose marks are wrong.
    Table("message", ("seq",), ("user", "struck", "speaks"), is_kept=True),
    Table("link", ("source", "target", "at", "message_id"), ()),
    Table("user", ("id",), ("canonical", "named"), is_kept=True),
    Table(
        "device",
        ("id",),
        (
            "last_at",
            "last_id",
            "owner",
            "segment_at",
            "segment_id",
            "visit_at",
            "visit_id",
            "visit_known",
            "has_operations",
        ),
        is_kept=True,
    ),
    Table("span", ("device", "start_at", "start_id"), ("owner", "claim_at", "claim_id")),
    Table("person", ("person_id",), ("user", "device", "start_at", "start_id")),
    Table("profile", ("person_id",), ("traits",)),
)

_SCRATCH = (
    "ATTACH DATABASE '' AS fresh",
    "PRAGMA fresh.journal_mode = OFF",
    "PRAGMA fresh.synchronous = OFF",
    # Pairs that are unlinked, by surrogates: a device and a user, or two users in order.
    """
    CREATE TABLE fresh.strike (
        is_device INTEGER, one INTEGER, other INTEGER, upto INTEGER,
        PRIMARY KEY (is_device, one, other)
    ) WITHOUT ROWID
    """,
    # Messages that speak of traits, by the person they are attributed to.
    """
    CREATE TABLE fresh.spoken (
        person_id TEXT, seq INTEGER, PRIMARY KEY (person_id, seq)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE fresh.linked (user INTEGER PRIMARY KEY)",
    "CREATE INDEX fresh.link_target ON link (target)",
    # The ledger, with what unlinks strike: claims lose their device, links do not count.
    """
    CREATE TEMP VIEW judged AS
    SELECT
        seq, workspace, message_id, kind, at, source, payload, user AS user_stored, struck,
        speaks AS speaks_stored,
        ifnull(user, struck) AS user,
        kind IN (1, 8) AND payload <> '{}' AS speaks,
        CASE
            WHEN device IS NOT NULL AND user IS NOT NULL AND kind <> 7 AND EXISTS (
                SELECT 1 FROM fresh.strike
                WHERE is_device = 1 AND one = device AND other = user AND upto >= at / 2
            ) THEN NULL
            ELSE device
        END AS device,
        source IS NOT NULL AND EXISTS (
            SELECT 1 FROM fresh.strike
            WHERE is_device = 0 AND upto >= at / 2
                AND one = min(source, ifnull(user, struck))
                AND other = max(source, ifnull(user, struck))
        ) AS is_struck_link
    FROM main.message
    """,
    """
    CREATE TEMP VIEW counted AS
    SELECT seq, workspace, message_id, kind, at, source, user, device, speaks
    FROM judged WHERE kind <> 10 AND NOT is_struck_link
    """,
)

_UNLINKS = """
    INSERT INTO fresh.unlink
    SELECT
        workspace, message_id, payload ->> 'anonymousId', payload ->> 'userId',
        payload ->> 'previousUserId', at / 2
    FROM main.message WHERE kind = 10
"""
_STRIKES = (
    """
    INSERT INTO fresh.strike
    SELECT 1, device.id, user.id, max(upto)
    FROM fresh.unlink AS parted
    JOIN main.device ON device.workspace = parted.workspace AND device.name = parted.device
    JOIN main.user ON user.workspace = parted.workspace AND user.name = parted.user
    GROUP BY device.id, user.id
    """,
    """
    INSERT INTO fresh.strike
    SELECT 0, min(first.id, second.id), max(first.id, second.id), max(upto)
    FROM fresh.unlink AS parted
    JOIN main.user AS first
        ON first.workspace = parted.workspace AND first.name = parted.user
    JOIN main.user AS second
        ON second.workspace = parted.workspace AND second.name = parted.source
    GROUP BY 2, 3
    """,
)
# What the ledger's rows say wrongly of themselves.
_MARKS = """
    INSERT INTO fresh.message
    SELECT seq, user_now, struck_now, speaks FROM (
        SELECT
            seq, user_stored, struck, speaks_stored, speaks,
            iif(kind = 10 OR is_struck_link, NULL, user) AS user_now,
            iif(is_struck_link, user, NULL) AS struck_now
        FROM judged
    )
    WHERE (user_stored, struck, speaks_stored) IS NOT (user_now, struck_now, speaks)
"""
_LINKS = """
    INSERT INTO fresh.link (at, message_id, source, target)
    SELECT at, message_id, source, user FROM counted WHERE source IS NOT NULL
"""
_USERS = (
    """
    INSERT INTO fresh.user
    SELECT id, id, 0 FROM main.user
    UNION SELECT ifnull(user, struck), ifnull(user, struck), 0 FROM main.message
    WHERE ifnull(user, struck) IS NOT NULL
    UNION SELECT source, source, 0 FROM main.message WHERE source IS NOT NULL
    """,
    """
    UPDATE fresh.user SET named = 1
    WHERE id IN (SELECT user FROM counted) OR id IN (SELECT source FROM fresh.link)
    """,
    "INSERT INTO fresh.linked SELECT source FROM fresh.link UNION SELECT target FROM fresh.link",
)
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
_QUIET_DEVICES = f"""
    INSERT INTO fresh.device
    SELECT id, {START.at}, '', NULL, {START.at}, '', NULL, NULL, 1, 0
    FROM main.device WHERE id NOT IN (SELECT id FROM fresh.device)
"""  # noqa: S608
_PERSONS = (
    """
    INSERT INTO fresh.person
    SELECT person_of_user(workspace.name, user.name), user.id, NULL, NULL, NULL
    FROM main.user JOIN main.workspace ON workspace.id = user.workspace
    """,
    f"""
    INSERT INTO fresh.person
    SELECT
        person_of_segment(workspace.name, device.name, {START.at}, ''), NULL, device.id,
        {START.at}, ''
    FROM main.device JOIN main.workspace ON workspace.id = device.workspace
    """,  # noqa: S608
    """
    INSERT INTO fresh.person
    SELECT
        person_of_segment(workspace.name, device.name, at, message_id || char(1)), NULL,
        device.id, at, message_id || char(1)
    FROM counted
    JOIN main.device ON device.id = counted.device
    JOIN main.workspace ON workspace.id = counted.workspace
    WHERE kind = 7
    """,
)
_ROW_AT = """
    SELECT {column} FROM fresh.span
    WHERE span.device = counted.device AND (start_at, start_id) <= (at, message_id)
    ORDER BY start_at DESC, start_id DESC LIMIT 1
"""
_SPOKEN = f"""
    INSERT INTO fresh.spoken
    SELECT person_id, seq FROM (
        SELECT
            seq,
            ifnull(
                person_of_user(workspace.name, canonical.name),
                person_of_segment(
                    workspace.name, device.name, ifnull(start_at, {START.at}), ifnull(start_id, '')
                )
            ) AS person_id
        FROM (
            SELECT
                seq, workspace, device,
                ifnull(user, ({_ROW_AT.format(column="owner")})) AS holder,
                ({_ROW_AT.format(column="start_at")}) AS start_at,
                ({_ROW_AT.format(column="start_id")}) AS start_id
            FROM counted WHERE speaks
        ) AS held
        JOIN main.workspace ON workspace.id = held.workspace
        LEFT JOIN main.device ON device.id = held.device
        LEFT JOIN fresh.user AS owner ON owner.id = held.holder
        LEFT JOIN main.user AS canonical ON canonical.id = owner.canonical
    )
    WHERE person_id IS NOT NULL
"""  # noqa: S608
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
    _attach(connection)
    connection.execute("BEGIN")
    try:
        for statement in (_UNLINKS, *_STRIKES, _MARKS, _LINKS, *_USERS):
            connection.execute(statement)
        _fold_links(connection)
        _follow_devices(connection, session_gaps, _counted("timelines", messages, progress))
        for statement in (_QUIET_DEVICES, *_PERSONS, _SPOKEN):
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


def _attach(connection: sqlite3.Connection) -> None:
    connection.create_function("person_of_user", 2, _person_of_user, deterministic=True)
    connection.create_function("person_of_segment", 4, _person_of_segment, deterministic=True)
    attach, *rest = _SCRATCH
    connection.execute(attach)
    for table in TABLES:
        columns = ", ".join((*table.keys, *table.values))
        keys = ", ".join(table.keys)
        connection.execute(
            f"CREATE TABLE fresh.{table.name} ({columns}, PRIMARY KEY ({keys})) WITHOUT ROWID"
        )
    for statement in rest:
        connection.execute(statement)


def _person_of_user(workspace: str, name: str | None) -> str | None:
    return None if name is None else person_ids.of_user(workspace, name)


def _person_of_segment(workspace: str, name: str | None, at: int, id_: str) -> str | None:
    return None if name is None else person_ids.of_segment(workspace, name, Position(at, id_))


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

    def __init__(self, device: int, session_gap: int, keep: Callable[[tuple[Any, ...]], None]):
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
            start = cut(self._visit, len(self._visit) - 1, self._session_gap)
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
