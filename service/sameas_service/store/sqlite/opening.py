"""What the writer looks at before it takes a group: one question, whatever the group names.

Beside a busy event loop each statement is a fight for the interpreter's lock, and a small
group has few messages to share it.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from sameas_service.domain.device import Device
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.store.sqlite import devices, users
from sameas_service.store.sqlite.connection import as_json

_LOOK = f"""
    WITH
    wanted_device AS MATERIALIZED (
        SELECT * FROM device WHERE workspace = ?1 AND name IN (SELECT value FROM json_each(?3))
    ),
    wanted_user AS MATERIALIZED (
        SELECT id, canonical FROM user
        WHERE workspace = ?1 AND name IN (SELECT value FROM json_each(?4))
        UNION
        SELECT id, canonical FROM user WHERE id IN (SELECT owner FROM wanted_device)
    )
    SELECT
        (SELECT ifnull(max(seq), 0) + 1 FROM message),
        (SELECT ifnull(max(id), 0) + 1 FROM user),
        (SELECT ifnull(max(id), 0) + 1 FROM device),
        (
            SELECT json_group_array(value) FROM json_each(?2)
            WHERE EXISTS (SELECT 1 FROM message WHERE workspace = ?1 AND message_id = value)
        ),
        (SELECT json_group_array(json_array({devices.COLUMNS})) FROM wanted_device AS device),
        (
            SELECT json_group_array(json_array({users.COLUMNS})) FROM user
            WHERE id IN (SELECT id FROM wanted_user UNION SELECT canonical FROM wanted_user)
        ),
        (
            SELECT json_group_array(json_array(device, user, source, upto)) FROM unlink
            WHERE workspace = ?1 AND user IN (SELECT value FROM json_each(?4))
        )
"""  # noqa: S608


class Opening(NamedTuple):
    """What there is of what a group of messages names.

    Attributes:
        next_seq: the next free number of a message.
        next_user: the next free surrogate of a user.
        next_device: the next free surrogate of a device.
        known_ids: the message ids that the ledger has.
        devices: the devices that are named.
        users: rows of the users that are named or own one of the devices now, and of the
            canonical users of their persons.
        unlinks: rows (device, user, source, time) of unlinks that name one of the users.
    """

    next_seq: int
    next_user: int
    next_device: int
    known_ids: set[str]
    devices: list[Device]
    users: list[users.Row]
    unlinks: list[tuple[str | None, str, str | None, int]]


def look(connection: sqlite3.Connection, workspace: int, messages: Sequence[Message]) -> Opening:
    """Looks at what the messages name."""
    parameters = (
        as_json([message.position.message_id for message in messages]),
        as_json(list(device_names(messages))),
        as_json(list(user_names(messages))),
    )
    row = connection.execute(_LOOK, (workspace, *parameters)).fetchone()
    known_ids, found, named, unlinks = map(orjson.loads, row[3:])
    return Opening(row[0], row[1], row[2], set(known_ids), devices.of_rows(found), named, unlinks)


def device_names(messages: Iterable[Message]) -> set[str]:
    """The anonymous ids on whose timelines the messages stand; an unlink is on none."""
    return {m.device for m in messages if m.device is not None and m.kind is not Kind.UNLINK}


def user_names(messages: Iterable[Message]) -> set[str]:
    """The user ids that the messages name."""
    named: set[Any] = {m.user for m in messages}
    named.update(m.source for m in messages)
    named.discard(None)
    return named
