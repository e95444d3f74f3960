"""Everybody, read from the derived tables alone: what `derive` must give of the ledger."""

import sqlite3
from collections import defaultdict
from typing import Any

from sameas_service.domain import person_ids
from sameas_service.domain.message import START, Position
from sameas_service.store.sqlite import profiles
from sameas_service.store.sqlite.connection import one
from sameas_service.store.sqlite.subject import Workspace

_USERS = """
    SELECT json_group_array(json_array(user.name, canonical.name))
    FROM user JOIN user AS canonical ON canonical.id = user.canonical
    WHERE user.workspace = ? AND user.named = 1
"""
_SPANS = """
    SELECT json_group_array(json_array(
        device.name, span.start_at, span.start_id, user.name
    ))
    FROM span JOIN device ON device.id = span.device JOIN user ON user.id = span.owner
    WHERE device.workspace = ?
    ORDER BY device.name, span.start_at, span.start_id
"""
_MESSAGES = """
    SELECT json_group_array(json_array(
        message.at, message.message_id, user.name, device.name, device.last_id,
        (
            SELECT json_array(start_at, start_id, owner.name)
            FROM span LEFT JOIN user AS owner ON owner.id = span.owner
            WHERE span.device = message.device
                AND (start_at, start_id) <= (message.at, message.message_id)
            ORDER BY start_at DESC, start_id DESC LIMIT 1
        )
    ))
    FROM message
    LEFT JOIN user ON user.id = message.user
    LEFT JOIN device ON device.id = message.device
    WHERE message.workspace = ? AND message.kind <> 10 AND message.struck IS NULL
"""
_PROFILES = "SELECT json_group_array(json_array(person_id, traits)) FROM profile"


def dump(connection: sqlite3.Connection, workspace: Workspace) -> dict[str, Any]:
    """Persons with user ids, spans, message ids and traits; and who each id is."""
    canonical = dict(one(connection, _USERS, workspace.id))
    person_of = {u: person_ids.of_user(workspace.name, c) for u, c in canonical.items()}
    people: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"users": [], "spans": [], "messages": [], "traits": {}}
    )
    anonymous_ids: dict[str, str] = {}
    for _, message_id, user, device, last_id, row in sorted(
        one(connection, _MESSAGES, workspace.id), key=lambda row: (row[0], row[1])
    ):
        holder = _holder(workspace, device, row, person_of) if device is not None else ""
        people[holder if user is None else person_of[user]]["messages"].append(message_id)
        if message_id == last_id:
            anonymous_ids[device] = holder
    for device, start_at, start_id, owner in one(connection, _SPANS, workspace.id):
        people[person_of[owner]]["spans"].append([device, start_at, start_id, owner])
    for user in sorted(canonical, key=lambda u: (canonical[u] != u, u)):
        people[person_of[user]]["users"].append(user)
    for person_id, text in one(connection, _PROFILES):
        people[person_id]["traits"] = profiles.values(text)
    for person in people.values():
        person["spans"].sort()
    return {"people": dict(people), "user_ids": person_of, "anonymous_ids": anonymous_ids}


def _holder(workspace: Workspace, device: str, row: Any, person_of: dict[str, str]) -> str:
    start_at, start_id, owner = row or (*START, None)
    if owner is not None:
        return person_of[owner]
    return person_ids.of_segment(workspace.name, device, Position(start_at, start_id))
