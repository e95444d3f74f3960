"""Writes rows: the one place where a transaction changes the tables of a workspace."""

import sqlite3
from typing import Any

from sameas_service.domain.changes import Change
from sameas_service.domain.device import Device, SpanRow
from sameas_service.domain.message import START, Position
from sameas_service.resolver.facts import LinkRow, MessageRow, Rows, User, Workspace
from sameas_service.store.sqlite.connection import NULL, Insert, as_json

_USER = Insert(
    "user",
    5,
    "ON CONFLICT (id) DO UPDATE SET canonical = excluded.canonical, named = excluded.named",
)
_DEVICE = Insert(
    "device",
    12,
    """
    ON CONFLICT (id) DO UPDATE SET
        last_at = excluded.last_at,
        last_id = excluded.last_id,
        owner = excluded.owner,
        segment_at = excluded.segment_at,
        segment_id = excluded.segment_id,
        visit_at = excluded.visit_at,
        visit_id = excluded.visit_id,
        visit_known = excluded.visit_known,
        has_operations = excluded.has_operations
    """,
)
# Nullable are device, user, source, struck, client_time and sent_at. The number comes by itself:
# one more than the last.
_MESSAGE = Insert(
    """message (
        workspace, message_id, kind, at, device, user, source, struck, client_time, sent_at,
        received_at, outcome, speaks, event, payload, context
    )""",
    16,
    nullable=range(4, 10),
)
_STRIKE_LINKS = """
    UPDATE message SET struck = user, user = NULL
    WHERE workspace = :workspace AND message_id IN (SELECT value FROM json_each(:ids))
"""
_SPAN = Insert(
    "span",
    6,
    """
    ON CONFLICT DO UPDATE SET
        owner = excluded.owner, claim_at = excluded.claim_at, claim_id = excluded.claim_id
    """,
)
_DELETE_SPANS = """
    DELETE FROM span WHERE (device, start_at, start_id) IN (
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:keys)
    )
"""
_LINK = Insert("link (at, message_id, source, target)", 4)
_DELETE_LINKS = """
    DELETE FROM link WHERE (at, message_id, source, target) IN (
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:keys)
    )
"""
_UNLINK = Insert("unlink (message_id, device, user, source, upto, workspace)", 6)
_PERSON = Insert("person", 6, "ON CONFLICT DO NOTHING")
_PROFILE = Insert("profile", 3, "ON CONFLICT DO UPDATE SET traits = excluded.traits")
_DELETE_PROFILES = """
    DELETE FROM profile
    WHERE workspace = :workspace AND person_id IN (SELECT value FROM json_each(:ids))
"""
_CHANGE = Insert("change (workspace, message_id, kind, is_user, name, person_id, former)", 7)


def apply(connection: sqlite3.Connection, workspace: Workspace, rows: Rows) -> None:
    """Write rows of a workspace, in the order in which `Rows` names them."""
    _apply_ledger(connection, workspace.id, rows)
    _apply_identity(connection, workspace.id, rows)
    if rows.profiles:
        _apply_profiles(connection, workspace.id, rows.profiles)
    if rows.changes:
        _CHANGE.run(connection, [_change_row(workspace.id, *row) for row in rows.changes])


def _apply_ledger(connection: sqlite3.Connection, within: int, rows: Rows) -> None:
    if rows.users:
        _USER.run(connection, [_user_row(within, user) for user in rows.users.values()])
    if rows.devices:
        _DEVICE.run(connection, [_device_row(within, one) for one in rows.devices.values()])
    if rows.messages:
        _MESSAGE.run(connection, [_message_row(within, row) for row in rows.messages])
    if rows.struck_links:
        connection.execute(_STRIKE_LINKS, {"workspace": within, "ids": as_json(rows.struck_links)})


def _apply_identity(connection: sqlite3.Connection, within: int, rows: Rows) -> None:
    if rows.spans:
        _apply_spans(connection, rows.spans)
    if rows.links:
        _apply_links(connection, rows.links)
    if rows.unlinks:
        _UNLINK.run(connection, [(*row, within) for row in rows.unlinks])
    if rows.persons:
        _PERSON.run(connection, [_person_row(within, *row) for row in rows.persons])


def _apply_spans(
    connection: sqlite3.Connection, spans: dict[tuple[int, Position], SpanRow | None]
) -> None:
    gone = [(device, *start) for (device, start), span in spans.items() if span is None]
    if gone:
        connection.execute(_DELETE_SPANS, {"keys": as_json(gone)})
    _SPAN.run(
        connection,
        [
            (device, *start, span.owner, *(span.claim or (None, None)))
            for (device, start), span in spans.items()
            if span is not None
        ],
    )


def _apply_links(connection: sqlite3.Connection, links: dict[LinkRow, bool]) -> None:
    rows = {(*link.position, link.source, link.target): kept for link, kept in links.items()}
    _LINK.run(connection, [row for row, is_in_force in rows.items() if is_in_force])
    gone = [row for row, is_in_force in rows.items() if not is_in_force]
    if gone:
        connection.execute(_DELETE_LINKS, {"keys": as_json(gone)})


def _apply_profiles(
    connection: sqlite3.Connection, workspace: int, profiles: dict[str, str | None]
) -> None:
    gone = [person_id for person_id, text in profiles.items() if text is None]
    if gone:
        parameters = {"workspace": workspace, "ids": as_json(gone)}
        connection.execute(_DELETE_PROFILES, parameters)
    texts = [(workspace, id_, text) for id_, text in profiles.items() if text is not None]
    _PROFILE.run(connection, texts)


def _user_row(workspace: int, user: User) -> tuple[Any, ...]:
    return (user.id, workspace, user.name, user.canonical, int(user.named))


def _device_row(workspace: int, device: Device) -> tuple[Any, ...]:
    # A device that only struck claims name has no last message.
    last, visit = device.last or START, device.visit or (None, None)
    return (
        device.id,
        workspace,
        device.name,
        *last,
        device.owner,
        *device.segment,
        *visit,
        int(device.visit_known),
        int(device.has_operations),
    )


def _person_row(
    workspace: int, person_id: str, user: int | None, device: int | None, start: Position | None
) -> tuple[Any, ...]:
    return (workspace, person_id, user, device, *(start or (None, None)))


def _change_row(workspace: int, message_id: str, change: Change) -> tuple[Any, ...]:
    kind, is_user, name, person_id, former = change
    return (workspace, message_id, int(kind), int(is_user), name, person_id, former)


def _message_row(workspace: int, row: MessageRow) -> tuple[Any, ...]:
    """Return a row of the ledger; taken apart at once, since this runs for each message."""
    message, outcome, device, user, source, struck = row
    kind, (at, message_id), received_at, _, _, _, event, payload, context, *times, _ = message
    client_time, sent_at = times
    return (
        workspace,
        message_id,
        int(kind),
        at,
        device or NULL,
        user or NULL,
        source or NULL,
        struck or NULL,
        NULL if client_time is None else client_time,
        NULL if sent_at is None else sent_at,
        received_at,
        int(outcome),
        int(message.has_operations),
        event,
        payload,
        context,
    )
