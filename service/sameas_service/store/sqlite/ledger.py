"""The ledger's rows: messages in, messages out."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, Position
from sameas_service.domain.payload import canonical, parse
from sameas_service.domain.receipt import Outcome
from sameas_service.store.sqlite.connection import NULL, Insert, as_json, one
from sameas_service.store.sqlite.subject import Verdict

# Nullable are device, user, source, struck, client_time and sent_at.
_INSERT = Insert("message", 17, nullable=range(5, 11))
MESSAGE = """
    json_array(
        message.message_id, message.kind, message.at, message.received_at, device.name,
        user.name, source.name, message.event, message.payload, message.context,
        message.client_time, message.sent_at, message.outcome
    )
"""
"""A row as JSON, for `message_of`; goes with `JOINS`."""
JOINS = """
    LEFT JOIN device ON device.id = message.device
    LEFT JOIN user ON user.id = ifnull(message.user, message.struck)
    LEFT JOIN user AS source ON source.id = message.source
"""
_BY_ID = f"""
    SELECT json_group_array({MESSAGE}) FROM message {JOINS}
    WHERE message.workspace = ?1
        AND message.message_id IN (SELECT value FROM json_each(?2))
"""  # noqa: S608
_LAST = "SELECT max(seq) FROM message"
_FIRST_ALIAS = """
    SELECT json_group_array((
        SELECT ifnull(device.name, source.name)
        FROM message
        LEFT JOIN device ON device.id = message.device
        LEFT JOIN user AS source ON source.id = message.source
        WHERE message.user = wanted.user AND message.kind = 2
            AND message.message_id <> wanted.id
            AND ifnull(device.name, source.name) <> wanted.source
        ORDER BY message.at LIMIT 1
    ))
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS user, value ->> 2 AS source
        FROM json_each(?)
    ) AS wanted
"""


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the last message; 0 where there is none."""
    found: int | None = connection.execute(_LAST).fetchone()[0]
    return found or 0


def by_id(
    connection: sqlite3.Connection, workspace: int, message_ids: Iterable[str]
) -> list[tuple[Message, Outcome]]:
    """Messages by id, with what they did."""
    rows = one(connection, _BY_ID, workspace, as_json(list(message_ids)))
    return [(message_of(row), Outcome(row[12])) for row in rows]


Kept = tuple[Verdict, int | None, int | None, int | None, int | None]
"""A message with what it did, and the surrogates of its device, user and source, and of the
user that it names without counting."""


def insert(connection: sqlite3.Connection, seq: int, workspace: int, kept: Iterable[Kept]) -> None:
    """Adds messages, numbered from `seq` on."""
    rows = []
    for number, (verdict, device, user, source, struck) in enumerate(kept, seq):
        message = verdict.message
        # Taken apart at once, since this runs for each message.
        kind, (at, message_id), received_at, _, _, _, event, payload, context, *rest = message
        client_time, sent_at, _ = rest
        if kind is Kind.UNLINK:
            payload = unlink_payload(message)
        rows.append(
            (
                number,
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
                int(verdict.outcome),
                int(message.has_operations),
                event,
                payload,
                context,
            )
        )
    _INSERT.run(connection, rows)


def message_of(row: Sequence[Any]) -> Message:
    """A message from its row as JSON."""
    if row[1] == Kind.UNLINK:
        return _unlink_of(row)
    return Message(
        kind=Kind(row[1]),
        position=Position(row[2], row[0]),
        received_at=row[3],
        device=row[4],
        user=row[5],
        source=row[6],
        event=row[7],
        payload=row[8],
        context=row[9],
        client_time=row[10],
        sent_at=row[11],
    )


def unlink_payload(message: Message) -> str:
    """The payload of an unlink's row: the reason and the pair. Its ids are no columns: no
    device and no user has this message on their timeline.
    """
    pair = {
        "anonymousId": message.device,
        "userId": message.user,
        "previousUserId": message.source,
    }
    return canonical(parse(message.payload) | {k: v for k, v in pair.items() if v is not None})


def _unlink_of(row: Sequence[Any]) -> Message:
    rest = parse(row[8])
    return Message(
        Kind.UNLINK,
        Position(row[2], row[0]),
        row[3],
        device=rest.pop("anonymousId", None),
        user=rest.pop("userId"),
        source=rest.pop("previousUserId", None),
        payload=canonical(rest),
        client_time=row[10],
        sent_at=row[11],
    )


def first_aliases(
    connection: sqlite3.Connection, wanted: Sequence[tuple[str, int, str]]
) -> list[str | None]:
    """For an alias's message id, user and source: the user's first other source, if any."""
    found: list[str | None] = one(connection, _FIRST_ALIAS, as_json(list(wanted)))
    return found
