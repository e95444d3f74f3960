"""The scratch database in which the derived tables are computed, and what SQL does of it.

It has a table of the same name for each derived one, and lies in a temporary file.
"""

import sqlite3
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.message import START, Position


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
BEFORE_DEVICES = (_UNLINKS, *_STRIKES, _MARKS, _LINKS, *_USERS)
"""What is computed first; the canonical users and the devices' timelines come next."""

BEHIND_DEVICES = (_QUIET_DEVICES, *_PERSONS, _SPOKEN)
"""What is computed of those; the profiles come last."""


def attach(connection: sqlite3.Connection) -> None:
    """Attaches an empty scratch database as `fresh`."""
    connection.create_function("person_of_user", 2, _person_of_user, deterministic=True)
    connection.create_function("person_of_segment", 4, _person_of_segment, deterministic=True)
    attach, *rest = _SCRATCH
    connection.execute(attach)
    for table in TABLES:
        # With the types of the table itself: without, a join could not use both indexes.
        types = dict(
            connection.execute("SELECT name, type FROM pragma_table_info(?, 'main')", (table.name,))
        )
        columns = ", ".join(f"{name} {types[name]}" for name in (*table.keys, *table.values))
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
