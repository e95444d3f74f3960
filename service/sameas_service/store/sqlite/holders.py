"""Who holds what: from ids, positions and messages to users and segments."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.message import START, Position
from sameas_service.resolver.ports import PersonKey
from sameas_service.store.sqlite.connection import as_json, one
from sameas_service.store.sqlite.subject import Segment, Workspace

_ROW_AT = """
    SELECT {column} FROM span
    WHERE span.device = {device} AND (start_at, start_id) <= ({at}, {id})
    ORDER BY start_at DESC, start_id DESC LIMIT 1
"""


def _row_at(column: str, device: str, at: str, id_: str) -> str:
    """SQL for a column of the row that holds a position."""
    return "(" + _ROW_AT.format(column=column, device=device, at=at, id=id_) + ")"


_FIRST_OWNER = _row_at("owner", "device.id", "person.start_at", "person.start_id")
_RESOLVE = f"""
    WITH wanted AS (
        SELECT key AS k, value ->> 0 AS by, value ->> 1 AS id FROM json_each(?2)
    ),
    found AS (
        SELECT k, user.id AS user, NULL AS device, NULL AS name, 0 AS start_at, '' AS start_id
        FROM wanted JOIN user ON user.workspace = ?1 AND user.name = wanted.id
        WHERE by = 'user'
        UNION ALL
        SELECT
            k, {_row_at("owner", "device.id", "last_at", "last_id")}, device.id, device.name,
            {_row_at("start_at", "device.id", "last_at", "last_id")},
            {_row_at("start_id", "device.id", "last_at", "last_id")}
        FROM wanted JOIN device ON device.workspace = ?1 AND device.name = wanted.id
        WHERE by = 'anonymous' AND device.last_at <> -4611686018427387904
        UNION ALL
        SELECT
            k,
            ifnull(person.user, {_FIRST_OWNER}),
            device.id, device.name, person.start_at, person.start_id
        FROM wanted JOIN person ON person.person_id = wanted.id
        LEFT JOIN device ON device.id = person.device
        WHERE by = 'person'
            AND ?1 = ifnull(
                device.workspace, (SELECT workspace FROM user WHERE user.id = person.user)
            )
    )
    SELECT json_group_array(json_array(
        k, canonical.id, canonical.name, device, found.name, start_at, start_id
    ))
    FROM found
    LEFT JOIN user ON user.id = found.user
    LEFT JOIN user AS canonical ON canonical.id = user.canonical
"""  # noqa: S608
_OF_MESSAGES = f"""
    SELECT json_group_array(json_array(
        message_id, canonical.name, device_name, start_at, start_id
    ))
    FROM (
        SELECT
            message.message_id,
            device.name AS device_name,
            -- Struck links and unlinks are nobody's; their answers name the user's person.
            coalesce(
                message.user, message.struck,
                {_row_at("owner", "message.device", "at", "message_id")},
                CASE kind WHEN 10 THEN (
                    SELECT user.id
                    FROM unlink JOIN user
                        ON user.workspace = unlink.workspace AND user.name = unlink.user
                    WHERE unlink.workspace = message.workspace
                        AND unlink.message_id = message.message_id
                ) END
            ) AS owner,
            {_row_at("start_at", "message.device", "at", "message_id")} AS start_at,
            {_row_at("start_id", "message.device", "at", "message_id")} AS start_id
        FROM message LEFT JOIN device ON device.id = message.device
        WHERE message.workspace = ?1
            AND message.message_id IN (SELECT value FROM json_each(?2))
    ) AS held
    LEFT JOIN user ON user.id = held.owner
    LEFT JOIN user AS canonical ON canonical.id = user.canonical
"""  # noqa: S608


class Canonical(NamedTuple):
    """A person with user ids, by the canonical one."""

    id: int
    name: str


Holder = Canonical | Segment


def resolve(
    connection: sqlite3.Connection, workspace: Workspace, keys: Sequence[PersonKey]
) -> list[Holder | None]:
    """What each key stands for now; None where it was never used."""
    rows = one(connection, _RESOLVE, workspace.id, as_json([_wanted(key) for key in keys]))
    found: dict[int, Holder] = {}
    for k, canonical, name, device, device_name, start_at, start_id in rows:
        if canonical is not None:
            found[k] = Canonical(canonical, name)
        elif device is not None:
            start = START if start_at is None else Position(start_at, start_id)
            found[k] = Segment(device, device_name, start)
    return [found.get(index) for index in range(len(keys))]


def _wanted(key: PersonKey) -> tuple[str, str]:
    """A key as the query takes it. SQLite cuts a JSON text off at NUL, and would find another
    id; no id has one, so nothing is looked for.
    """
    return ("", "") if "\x00" in key.value else (key.by, key.value)


def person_id_of(holder: Holder, workspace: Workspace) -> str:
    """The id of a holder's person."""
    if isinstance(holder, Canonical):
        return person_ids.of_user(workspace.name, holder.name)
    return person_ids.of_segment(workspace.name, holder.name, holder.start)


def persons_of_messages(
    connection: sqlite3.Connection, workspace: Workspace, message_ids: Collection[str]
) -> dict[str, str]:
    """The present person id of each message, by message id."""
    persons = {}
    rows = one(connection, _OF_MESSAGES, workspace.id, as_json(list(message_ids)))
    for message_id, user, device, start_at, start_id in rows:
        if user is not None:
            persons[message_id] = person_ids.of_user(workspace.name, user)
        else:
            start = START if start_at is None else Position(start_at, start_id)
            persons[message_id] = person_ids.of_segment(workspace.name, device, start)
    return persons
