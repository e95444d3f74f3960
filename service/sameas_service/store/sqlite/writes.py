"""Questions of the writing transaction, the first look at what a group names among them."""

from collections.abc import Sequence
from typing import Any

import orjson

from sameas_service.domain.device import Cut, Device, SpanRow
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Position
from sameas_service.resolver.facts import (
    LinkRow,
    Names,
    Neighbours,
    Opening,
    Operations,
    Rows,
    Source,
    UnlinkRow,
    User,
    Workspace,
)
from sameas_service.store.sqlite import rows as writing
from sameas_service.store.sqlite.connection import as_json, loads
from sameas_service.store.sqlite.ledger import CLAIMS
from sameas_service.store.sqlite.reads import WANTED, SqliteReadTransaction, source_rows

_DEVICE = """
    device.id, device.name, device.last_at, device.last_id, device.owner,
    device.segment_at, device.segment_id,
    device.visit_at, device.visit_id, device.visit_known, device.has_operations
"""
_USER = "user.id, user.name, user.canonical, user.named"
_OPEN = f"""
    WITH
    wanted_device AS MATERIALIZED (
        SELECT * FROM device
        WHERE workspace = :workspace AND name IN (SELECT value FROM json_each(:devices))
    ),
    wanted_user AS MATERIALIZED (
        SELECT id, canonical FROM user
        WHERE workspace = :workspace AND name IN (SELECT value FROM json_each(:users))
        UNION
        SELECT id, canonical FROM user WHERE id IN (SELECT owner FROM wanted_device)
    )
    SELECT
        (SELECT ifnull(max(id), 0) + 1 FROM user),
        (SELECT ifnull(max(id), 0) + 1 FROM device),
        (
            SELECT json_group_array(value) FROM json_each(:ids)
            WHERE EXISTS (
                SELECT 1 FROM message WHERE workspace = :workspace AND message_id = value
            )
        ),
        (SELECT json_group_array(json_array({_DEVICE})) FROM wanted_device AS device),
        (
            SELECT json_group_array(json_array({_USER})) FROM user
            WHERE id IN (SELECT id FROM wanted_user UNION SELECT canonical FROM wanted_user)
        ),
        (
            SELECT json_group_array(json_array(message_id, device, user, source, upto))
            FROM unlink
            WHERE workspace = :workspace AND user IN (SELECT value FROM json_each(:users))
        )
"""  # noqa: S608
_USERS = f"""
    SELECT json_group_array(json_array({_USER}))
    FROM user WHERE id IN (SELECT value FROM json_each(:ids))
"""  # noqa: S608
_MEMBERS = f"""
    SELECT json_group_array(json_array({_USER}))
    FROM user WHERE canonical IN (SELECT value FROM json_each(:ids))
"""  # noqa: S608
_LINKS = "SELECT json_group_array(json_array(at, message_id, source, target)) FROM link"
_LINKS_AMONG = f"""
    {_LINKS}
    WHERE source IN (SELECT value FROM json_each(:ids))
        OR target IN (SELECT value FROM json_each(:ids))
"""  # noqa: S608
_LINKS_BETWEEN = f"""
    {_LINKS}
    WHERE (source = :first AND target = :second) OR (source = :second AND target = :first)
"""
_STILL_NAMED = """
    SELECT json_group_array(user.id) FROM user
    WHERE id IN (SELECT value FROM json_each(:ids)) AND (
        EXISTS (SELECT 1 FROM message WHERE message.user = user.id)
        OR EXISTS (SELECT 1 FROM link WHERE link.source = user.id)
    )
"""
_DEVICES_OF = """
    SELECT json_group_array(json_array(device.name, span.owner))
    FROM span JOIN device ON device.id = span.device
    WHERE span.owner IN (SELECT value FROM json_each(:ids))
        AND (span.start_at, span.start_id) <= (device.last_at, device.last_id)
        AND NOT EXISTS (
            SELECT 1 FROM span AS later
            WHERE later.device = span.device
                AND (later.start_at, later.start_id) > (span.start_at, span.start_id)
                AND (later.start_at, later.start_id) <= (device.last_at, device.last_id)
        )
"""
_SPAN = "json_array(start_at, start_id, owner, claim_at, claim_id)"
_NEIGHBOURS = f"""
    SELECT json_group_array(json_array(
        (
            SELECT json({_SPAN}) FROM span
            WHERE device = wanted.device AND (start_at, start_id) <= (wanted.at, wanted.id)
            ORDER BY start_at DESC, start_id DESC LIMIT 1
        ),
        (
            SELECT json({_SPAN}) FROM span
            WHERE device = wanted.device AND (start_at, start_id) <= (wanted.at, wanted.id)
            ORDER BY start_at DESC, start_id DESC LIMIT 1 OFFSET 1
        ),
        (
            SELECT json({_SPAN}) FROM span
            WHERE device = wanted.device AND (start_at, start_id) > (wanted.at, wanted.id)
            ORDER BY start_at, start_id LIMIT 1
        )
    ))
    FROM (
        SELECT value ->> 0 AS device, value ->> 1 AS at, value ->> 2 AS id
        FROM json_each(:places)
    ) AS wanted
"""  # noqa: S608
_CLAIMS = f"""
    SELECT json_group_array(json_array(
        (
            SELECT json_array(at, message_id) FROM message
            WHERE device = wanted.device AND user = wanted.user AND {CLAIMS}
                AND (at, message_id) < (wanted.at, wanted.id)
            ORDER BY at DESC, message_id DESC LIMIT 1
        ),
        (
            SELECT json_array(at, message_id) FROM message
            WHERE device = wanted.device AND user = wanted.user AND {CLAIMS}
                AND (at, message_id) > (wanted.at, wanted.id)
                AND (at, message_id) < (wanted.bound_at, wanted.bound_id)
            ORDER BY at, message_id LIMIT 1
        )
    ))
    FROM (
        SELECT
            value ->> 0 AS device, value ->> 1 AS user, value ->> 2 AS at, value ->> 3 AS id,
            value ->> 4 AS bound_at, value ->> 5 AS bound_id
        FROM json_each(:places)
    ) AS wanted
"""  # noqa: S608
_VISIT_STARTS = """
    SELECT json_group_array((
        WITH RECURSIVE back (at, id) AS (
            SELECT wanted.at, wanted.id
            UNION ALL
            SELECT message.at, message.message_id
            FROM back JOIN message ON message.seq = (
                SELECT seq FROM message
                WHERE device = wanted.device AND user IS NULL
                    AND (at, message_id) < (back.at, back.id)
                    AND (at, message_id) > (wanted.wall_at, wanted.wall_id)
                    AND at >= back.at - 2 * :gap
                ORDER BY at DESC, message_id DESC LIMIT 1
            )
        )
        SELECT json_array(at, id) FROM back ORDER BY at, id LIMIT 1
    ))
    FROM (
        SELECT
            value ->> 0 AS device, value ->> 1 AS at, value ->> 2 AS id,
            value ->> 3 AS wall_at, value ->> 4 AS wall_id
        FROM json_each(:cuts)
    ) AS wanted
"""
_SPANS_OF = f"""
    SELECT json_group_array({_SPAN}) FROM (
        SELECT * FROM span WHERE device = :device ORDER BY start_at, start_id
    )
"""  # noqa: S608
_LAST_VISITOR = """
    SELECT json_array(at, message_id) FROM message
    WHERE device = :device AND user IS NULL
    ORDER BY at DESC, message_id DESC LIMIT 1
"""
_FIRST_ALIAS = f"""
    SELECT json_group_array((
        SELECT ifnull(device.name, source.name)
        FROM message
        LEFT JOIN device ON device.id = message.device
        LEFT JOIN user AS source ON source.id = message.source
        WHERE message.user = wanted.user AND message.kind = {int(Kind.ALIAS)}
            AND message.message_id <> wanted.id
            AND ifnull(device.name, source.name) <> wanted.source
        ORDER BY message.at LIMIT 1
    ))
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS user, value ->> 2 AS source
        FROM json_each(:aliases)
    ) AS wanted
"""  # noqa: S608
_PROFILES = """
    SELECT json_group_array(json_array(person_id, traits)) FROM profile
    WHERE workspace = :workspace AND person_id IN (SELECT value FROM json_each(:ids))
"""
_OPERATION = """
    json_array(
        message.at, message.message_id, message.user IS NOT NULL, message.kind, message.payload
    )
"""
_ON_STRETCH = """
    message.device = wanted.device AND message.user IS NULL
    AND (message.at, message.message_id) >= (wanted.start_at, wanted.start_id)
    AND (message.at, message.message_id) < (wanted.end_at, wanted.end_id)
"""
_OPERATIONS = f"""
    WITH wanted AS MATERIALIZED ({WANTED})
    SELECT json_group_array(json(operation)) FROM (
        SELECT {_OPERATION} AS operation
        FROM wanted JOIN message ON message.user = wanted.user AND message.speaks = 1
        WHERE wanted.device IS NULL
        UNION ALL
        SELECT {_OPERATION}
        FROM wanted JOIN message ON {_ON_STRETCH} AND message.speaks = 1
    )
"""  # noqa: S608
_COUNTS = f"""
    SELECT json_group_array(iif(
        wanted.device IS NULL,
        (
            SELECT count(*) FROM message
            WHERE message.user = wanted.user AND message.message_id <> :but
        ),
        (SELECT count(*) FROM message WHERE {_ON_STRETCH} AND message.message_id <> :but)
    ))
    FROM ({WANTED}) AS wanted
"""  # noqa: S608


class SqliteWriteTransaction(SqliteReadTransaction):
    """The one transaction that writes; see `WriteTransaction` for the methods.

    It has the database for itself from its beginning, so `open` has nothing to lock.
    """

    def open(self, workspace: Workspace, names: Names) -> Opening:
        """See `WriteTransaction.open`. One question, whatever the group names."""
        parameters = {
            "workspace": workspace.id,
            "ids": as_json(names.message_ids),
            "devices": as_json([*names.devices, *names.known_devices]),
            "users": as_json(names.users),
        }
        next_user, next_device, *cells = self._connection.execute(_OPEN, parameters).fetchone()
        known_ids, found, users, unlinks = map(orjson.loads, cells)
        devices = [_device_of(*row) for row in found]
        return Opening(
            set(known_ids),
            devices,
            _numbered(names.devices, {device.name for device in devices}, next_device),
            [_user_of(*row) for row in users],
            _numbered(names.users, {row[1] for row in users}, next_user),
            [UnlinkRow(*row) for row in unlinks],
        )

    def users(self, workspace: Workspace, ids: Sequence[int]) -> list[User]:
        return [_user_of(*row) for row in self._one(_USERS, ids=as_json(ids))]

    def members(self, workspace: Workspace, canonical: Sequence[int]) -> list[User]:
        return [_user_of(*row) for row in self._one(_MEMBERS, ids=as_json(canonical))]

    def links_among(self, workspace: Workspace, users: Sequence[int]) -> list[LinkRow]:
        return _links_of(self._one(_LINKS_AMONG, ids=as_json(users)))

    def links_between(self, workspace: Workspace, first: int, second: int) -> list[LinkRow]:
        return _links_of(self._one(_LINKS_BETWEEN, first=first, second=second))

    def still_named(self, workspace: Workspace, users: Sequence[int]) -> set[int]:
        return set(self._one(_STILL_NAMED, ids=as_json(users)))

    def devices_of(self, workspace: Workspace, owners: Sequence[int]) -> list[tuple[str, int]]:
        return [(name, owner) for name, owner in self._one(_DEVICES_OF, ids=as_json(owners))]

    def neighbours(
        self, workspace: Workspace, places: Sequence[tuple[int, Position]]
    ) -> list[Neighbours]:
        wanted = as_json([(device, *position) for device, position in places])
        return [
            Neighbours(_span_of(before), _span_of(at) or SpanRow(START), _span_of(after))
            for at, before, after in self._one(_NEIGHBOURS, places=wanted)
        ]

    def claims(
        self, workspace: Workspace, places: Sequence[tuple[int, int, Position, Position]]
    ) -> list[tuple[Position | None, Position | None]]:
        wanted = as_json([(d, u, *position, *bound) for d, u, position, bound in places])
        return [
            (_position_of(before), _position_of(after))
            for before, after in self._one(_CLAIMS, places=wanted)
        ]

    def visit_starts(self, workspace: Workspace, cuts: Sequence[tuple[int, Cut]]) -> list[Position]:
        wanted = as_json([(device, *cut.origin, *cut.wall) for device, cut in cuts])
        found = self._one(_VISIT_STARTS, cuts=wanted, gap=workspace.session_gap)
        return [Position(*loads(cell)) for cell in found]

    def spans_of(self, workspace: Workspace, device: int) -> list[SpanRow]:
        found = (_span_of(cell) for cell in self._one(_SPANS_OF, device=device))
        return [span for span in found if span is not None]

    def last_visitor(self, workspace: Workspace, device: int) -> Position | None:
        return _position_of(self._one(_LAST_VISITOR, device=device))

    def first_alias_sources(
        self, workspace: Workspace, aliases: Sequence[tuple[str, int, str]]
    ) -> list[str | None]:
        found: list[str | None] = self._one(_FIRST_ALIAS, aliases=as_json(aliases))
        return found

    def profiles(self, workspace: Workspace, person_ids: Sequence[str]) -> dict[str, str]:
        return dict(self._one(_PROFILES, workspace=workspace.id, ids=as_json(person_ids)))

    def operations(self, workspace: Workspace, sources: Sequence[Source]) -> list[Operations]:
        rows = self._one(_OPERATIONS, sources=source_rows(sources))
        return [Operations(Position(at, id_), bool(named), *rest) for at, id_, named, *rest in rows]

    def counts(self, workspace: Workspace, sources: Sequence[Source], but: str) -> list[int]:
        found: list[int] = self._one(_COUNTS, sources=source_rows(sources), but=but)
        return found

    def apply(self, workspace: Workspace, rows: Rows) -> None:
        writing.apply(self._connection, workspace, rows)


def _numbered(names: Sequence[str], known: set[str], first: int) -> dict[str, int]:
    """Return surrogates for the names that are not known, in order of name."""
    new = sorted(name for name in names if name not in known)
    return {name: number for number, name in enumerate(new, first)}


def _device_of(id_: int, name: str, *state: Any) -> Device:
    last_at, last_id, owner, segment_at, segment_id, visit_at, visit_id, *flags = state
    return Device(
        id_,
        name,
        # A device that only struck claims name has no last message.
        None if last_at == START.at else Position(last_at, last_id),
        owner,
        Position(segment_at, segment_id),
        None if visit_at is None else Position(visit_at, visit_id),
        *map(bool, flags),
    )


def _user_of(id_: int, name: str, canonical: int, named: int) -> User:
    return User(id_, name, canonical, bool(named))


def _links_of(rows: Sequence[Any]) -> list[LinkRow]:
    return [LinkRow(Position(at, id_), source, target) for at, id_, source, target in rows]


def _span_of(cell: Any) -> SpanRow | None:
    cell = loads(cell)
    if cell is None:
        return None
    start_at, start_id, owner, claim_at, claim_id = cell
    claim = None if claim_at is None else Position(claim_at, claim_id)
    return SpanRow(Position(start_at, start_id), owner, claim)


def _position_of(cell: Any) -> Position | None:
    cell = loads(cell)
    return None if cell is None else Position(*cell)
