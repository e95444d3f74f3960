"""The ledger, read as it was when the scan began: the past, explanations, exports.

The ledger only grows: its messages up to the last one there was at the beginning are the same
in every snapshot, so each statement has a snapshot of its own, and the WAL can be copied back
meanwhile however long the scan takes.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sameas_service.domain.kinds import KINDS
from sameas_service.domain.message import START, Message, Position
from sameas_service.resolver import row_codec
from sameas_service.resolver.facts import KeyTarget, Kin, PersonKey, Workspace
from sameas_service.store.sqlite.connection import Statements, as_json, loads

CLAIMS = " AND ".join(
    f"message.kind <> {int(kind)}"
    for kind, traits in KINDS.items()
    if traits.on_timeline and not traits.claims
)
"""SQL: a row that names a device and a user is a claim. It is the condition of the index
`message_claim`, to the letter."""

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
_TARGETS = """
    WITH wanted AS (
        SELECT key AS k, value ->> 0 AS by, value ->> 1 AS id FROM json_each(:keys)
    )
    SELECT json_group_array(json_array(k, user, device, start_at, start_id)) FROM (
        SELECT
            k, user.name AS user, NULL AS device, NULL AS start_at, NULL AS start_id
        FROM wanted JOIN user ON user.workspace = :workspace AND user.name = wanted.id
        WHERE by = 'user'
        UNION ALL
        SELECT k, NULL, device.name, NULL, NULL
        FROM wanted JOIN device ON device.workspace = :workspace AND device.name = wanted.id
        WHERE by = 'anonymous'
        UNION ALL
        SELECT k, user.name, device.name, person.start_at, person.start_id
        FROM wanted
        JOIN person ON person.workspace = :workspace AND person.person_id = wanted.id
        LEFT JOIN device ON device.id = person.device
        LEFT JOIN user ON user.id = person.user
        WHERE by = 'person'
    )
"""
# CROSS JOIN has SQLite begin with what is asked for: left to itself it may begin with the
# ledger's links or claims, all of them. INDEXED BY makes it an error should an index be gone.
# The plus takes a column's type away, with which SQLite would not look into an index of an
# expression; and it keeps SQLite from taking the condition on `seq` for a range of the ledger.
_RECEIVED = "message.received_at <= :until AND +message.seq <= :last"

# Users that any link ever joined to these, struck or not.
_LINKED = f"""
    WITH RECURSIVE kin(id) AS MATERIALIZED (
        SELECT id FROM user
        WHERE workspace = :workspace AND name IN (SELECT value FROM json_each(:names))
        UNION
        SELECT message.source
        FROM kin CROSS JOIN message INDEXED BY message_linked
            ON ifnull(message.user, message.struck) = +kin.id
        WHERE message.source IS NOT NULL AND {_RECEIVED}
        UNION
        SELECT ifnull(message.user, message.struck)
        FROM kin CROSS JOIN message INDEXED BY message_link ON message.source = kin.id
        WHERE message.source IS NOT NULL AND {_RECEIVED}
    )
"""  # noqa: S608
# And the devices that they ever claimed.
_KIN = f"""
    {_LINKED}
    SELECT json_array(
        (SELECT json_group_array(id) FROM kin),
        (
            SELECT json_group_array(DISTINCT message.device)
            FROM kin CROSS JOIN message INDEXED BY message_by_user ON message.user = kin.id
            WHERE message.device IS NOT NULL AND {CLAIMS} AND {_RECEIVED}
        )
    )
"""  # noqa: S608
_LINKS = f"""
    {_LINKED}
    SELECT json_group_array(seq)
    FROM kin CROSS JOIN message INDEXED BY message_linked
        ON ifnull(message.user, message.struck) = +kin.id
    WHERE message.source IS NOT NULL AND {_RECEIVED}
"""  # noqa: S608
# A reset that names a user is in no index by device, but starts a span.
_NUMBERS = f"""
    SELECT json_group_array(seq) FROM (
        SELECT seq FROM json_each(:users) CROSS JOIN message ON message.user = value
        WHERE {_RECEIVED}
        UNION
        SELECT seq FROM json_each(:users)
        CROSS JOIN message ON ifnull(message.user, message.struck) = value
        WHERE source IS NOT NULL AND {_RECEIVED}
        UNION
        SELECT seq FROM json_each(:devices) CROSS JOIN message ON message.device = value
        WHERE user IS NULL AND {_RECEIVED}
        UNION
        SELECT seq FROM json_each(:devices) CROSS JOIN message ON message.device = value
        WHERE user IS NOT NULL AND {CLAIMS} AND {_RECEIVED}
        UNION
        SELECT seq FROM json_each(:devices) CROSS JOIN span ON span.device = value
        CROSS JOIN message ON message.workspace = :workspace
            AND message.message_id = substr(start_id, 1, length(start_id) - 1)
        WHERE substr(start_id, -1) = char(1) AND {_RECEIVED}
        LIMIT :limit
    )
"""  # noqa: S608
_MESSAGES = f"""
    SELECT json_group_array({MESSAGE})
    FROM json_each(:numbers) CROSS JOIN message ON message.seq = value {JOINS}
"""  # noqa: S608
_UNLINKS = f"""
    SELECT json_group_array({MESSAGE})
    FROM unlink
    CROSS JOIN message ON message.workspace = :workspace
        AND message.message_id = unlink.message_id
    {JOINS}
    WHERE unlink.workspace = :workspace AND unlink.user IN (SELECT value FROM json_each(:names))
        AND message.seq <= :last
"""  # noqa: S608
_MESSAGES_AFTER = f"""
    SELECT message.seq, {MESSAGE} FROM message {JOINS}
    WHERE message.workspace = :workspace AND message.seq > :number AND message.seq <= :last
    ORDER BY message.seq LIMIT :limit
"""  # noqa: S608
_NUMBER = """
    SELECT seq FROM message
    WHERE workspace = :workspace AND message_id = :id AND +seq <= :last
"""
_COUNT_AFTER = """
    SELECT count(*) FROM message
    WHERE workspace = :workspace AND seq > :number AND seq <= :last
"""
_USERS_AFTER = """
    SELECT user.id, user.name, canonical.name
    FROM user JOIN user AS canonical ON canonical.id = user.canonical
    WHERE user.workspace = :workspace AND user.named = 1 AND user.id > :number
    ORDER BY user.id LIMIT :limit
"""
_DEVICES_AFTER = f"""
    SELECT
        wanted.id, wanted.name, wanted.last_at, wanted.last_id,
        (
            SELECT json_group_array(json_array(start_at, start_id, name)) FROM (
                SELECT span.start_at, span.start_id, canonical.name
                FROM span
                LEFT JOIN user AS owner ON owner.id = span.owner
                LEFT JOIN user AS canonical ON canonical.id = owner.canonical
                WHERE span.device = wanted.id
                ORDER BY span.start_at, span.start_id
            )
        )
    FROM device AS wanted
    WHERE wanted.workspace = :workspace AND wanted.id > :number AND wanted.last_at <> {START.at}
    ORDER BY wanted.id LIMIT :limit
"""  # noqa: S608


class SqliteLedgerReader(Statements):
    """The ledger up to its last message at the beginning; see `LedgerReader` for the methods."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._last: int = self._rows("SELECT ifnull(max(seq), 0) FROM message")[0][0]

    def workspace(self, name: str) -> Workspace | None:
        sql = "SELECT id, name, session_gap FROM workspace WHERE name = :name"
        rows = self._rows(sql, name=name)
        return Workspace(*rows[0]) if rows else None

    def targets(self, workspace: Workspace, keys: Sequence[PersonKey]) -> list[KeyTarget | None]:
        wanted = [wanted_key(key) for key in keys]
        found = {}
        for k, user, device, *start in self._one(
            _TARGETS, workspace=workspace.id, keys=as_json(wanted)
        ):
            place = None if start[0] is None else Position(*start)
            found[k] = KeyTarget(user, None if user is not None else device, place)
        return [found.get(index) for index in range(len(keys))]

    def kin(self, workspace: Workspace, users: Sequence[str], received_until: int) -> Kin:
        names = as_json(users)
        return Kin(
            *self._one(
                _KIN, last=self._last, workspace=workspace.id, names=names, until=received_until
            )
        )

    def links_of(
        self, workspace: Workspace, users: Sequence[str], received_until: int
    ) -> list[int]:
        names = as_json(users)
        found: list[int] = self._one(
            _LINKS, last=self._last, workspace=workspace.id, names=names, until=received_until
        )
        return found

    def numbers_of(
        self, workspace: Workspace, kin: Kin, received_until: int, limit: int
    ) -> list[int]:
        found: list[int] = self._one(
            _NUMBERS,
            last=self._last,
            workspace=workspace.id,
            users=as_json(kin.users),
            devices=as_json(kin.devices),
            until=received_until,
            limit=limit,
        )
        return found

    def messages(self, workspace: Workspace, numbers: Sequence[int]) -> list[Message]:
        return [message_of(row) for row in self._one(_MESSAGES, numbers=as_json(numbers))]

    def unlinks_of(self, workspace: Workspace, users: Sequence[str]) -> list[Message]:
        rows = self._one(_UNLINKS, last=self._last, workspace=workspace.id, names=as_json(users))
        return [message_of(row) for row in rows]

    def number_of(self, workspace: Workspace, message_id: str) -> int | None:
        rows = self._rows(_NUMBER, workspace=workspace.id, id=message_id, last=self._last)
        return rows[0][0] if rows else None

    def count_after(self, workspace: Workspace, number: int) -> int:
        rows = self._rows(_COUNT_AFTER, workspace=workspace.id, number=number, last=self._last)
        return int(rows[0][0])

    def messages_after(
        self, workspace: Workspace, number: int, limit: int
    ) -> list[tuple[int, Message]]:
        bounds = {"number": number, "last": self._last, "limit": limit}
        rows = self._rows(_MESSAGES_AFTER, workspace=workspace.id, **bounds)
        return [(number, message_of(loads(cell))) for number, cell in rows]

    def id_of(self, workspace: Workspace, name: str, *, is_user: bool) -> int | None:
        table = "user" if is_user else "device"
        sql = f"SELECT id FROM {table} WHERE workspace = :workspace AND name = :name"  # noqa: S608
        rows = self._rows(sql, workspace=workspace.id, name=name)
        return rows[0][0] if rows else None

    def users_after(
        self, workspace: Workspace, user: int, limit: int
    ) -> list[tuple[int, str, str]]:
        return self._rows(_USERS_AFTER, workspace=workspace.id, number=user, limit=limit)

    def devices_after(
        self, workspace: Workspace, device: int, limit: int
    ) -> list[tuple[int, str, Position, list[tuple[Position, str | None]]]]:
        rows = self._rows(_DEVICES_AFTER, workspace=workspace.id, number=device, limit=limit)
        return [
            (
                id_,
                name,
                Position(*last),
                [(Position(at, start_id), owner) for at, start_id, owner in loads(spans)],
            )
            for id_, name, *last, spans in rows
        ]


def message_of(row: Sequence[Any]) -> Message:
    """Return a message from its row as JSON; the outcome, its last cell, is not of it."""
    return row_codec.message_of(*row[:-1])


def wanted_key(key: PersonKey) -> tuple[str, str]:
    """Return a key as a statement takes it. SQLite cuts a JSON text off at NUL, and would find
    another id; no id has one, so nothing is looked for.
    """
    return ("", "") if "\x00" in key.value else (key.by, key.value)
