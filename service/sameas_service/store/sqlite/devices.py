"""Devices' present state and their rows of spans."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from sameas_service.domain.device import Cut, Device, Plan, Put, Row
from sameas_service.domain.message import START, Position
from sameas_service.store.sqlite.connection import Insert, as_json, one

COLUMNS = """
    device.id, device.name, device.last_at, device.last_id, device.owner,
    device.segment_at, device.segment_id,
    device.visit_at, device.visit_id, device.visit_known, device.has_operations
"""
"""What `of_rows` reads."""

_LOAD = f"""
    SELECT json_group_array(json_array({COLUMNS}))
    FROM device
    WHERE workspace = ? AND name IN (SELECT value FROM json_each(?))
"""  # noqa: S608
_SAVE = Insert(
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
_PUT_SPAN = Insert(
    "span",
    6,
    """
    ON CONFLICT DO UPDATE SET
        owner = excluded.owner, claim_at = excluded.claim_at, claim_id = excluded.claim_id
    """,
)
_DELETE_SPANS = """
    DELETE FROM span WHERE (device, start_at, start_id) IN (
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
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
        SELECT value ->> 0 AS device, value ->> 1 AS at, value ->> 2 AS id FROM json_each(?)
    ) AS wanted
"""  # noqa: S608
_CLAIMS = """
    SELECT json_group_array(json_array(
        (
            SELECT json_array(at, message_id) FROM message
            WHERE device = wanted.device AND user = wanted.user AND kind <> 7
                AND (at, message_id) < (wanted.at, wanted.id)
            ORDER BY at DESC, message_id DESC LIMIT 1
        ),
        (
            SELECT json_array(at, message_id) FROM message
            WHERE device = wanted.device AND user = wanted.user AND kind <> 7
                AND (at, message_id) > (wanted.at, wanted.id)
                AND (at, message_id) < (wanted.bound_at, wanted.bound_id)
            ORDER BY at, message_id LIMIT 1
        )
    ))
    FROM (
        SELECT
            value ->> 0 AS device, value ->> 1 AS user, value ->> 2 AS at, value ->> 3 AS id,
            value ->> 4 AS bound_at, value ->> 5 AS bound_id
        FROM json_each(?)
    ) AS wanted
"""
_WALK = """
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
                    AND at >= back.at - 2 * wanted.gap
                ORDER BY at DESC, message_id DESC LIMIT 1
            )
        )
        SELECT json_array(at, id) FROM back ORDER BY at, id LIMIT 1
    ))
    FROM (
        SELECT
            value ->> 0 AS device, value ->> 1 AS at, value ->> 2 AS id,
            value ->> 3 AS wall_at, value ->> 4 AS wall_id, value ->> 5 AS gap
        FROM json_each(?)
    ) AS wanted
"""
_LAST_SPANS = f"""
    SELECT json_group_array(json_array(
        device.id,
        (
            SELECT json({_SPAN}) FROM span WHERE device = device.id
            ORDER BY start_at DESC, start_id DESC LIMIT 1
        )
    ))
    FROM json_each(?) AS wanted JOIN device ON device.id = wanted.value
"""  # noqa: S608
FOREVER = Position(2**62, "")
"""Behind every message."""


class Neighbours(NamedTuple):
    """The rows before, at and behind a position of a device. A device's first segment has no
    row while nobody owns it; then `at` is made up.
    """

    before: Row | None
    at: Row
    behind: Row | None


def load(connection: sqlite3.Connection, workspace: int, names: Collection[str]) -> list[Device]:
    """The devices with these anonymous ids, as far as they are known."""
    return of_rows(one(connection, _LOAD, workspace, as_json(list(names))))


def of_rows(rows: Iterable[Sequence[Any]]) -> list[Device]:
    """Devices from their rows."""
    return [
        Device(
            id=row[0],
            name=row[1],
            last=None if row[2] == START.at else Position(row[2], row[3]),
            owner=row[4],
            segment=Position(row[5], row[6]),
            visit=None if row[7] is None else Position(row[7], row[8]),
            visit_known=bool(row[9]),
            has_operations=bool(row[10]),
        )
        for row in rows
    ]


def save(connection: sqlite3.Connection, workspace: int, devices: Iterable[Device]) -> None:
    """Writes the state of devices."""
    _SAVE.run(connection, [_device_row(workspace, device) for device in devices])


def put_spans(connection: sqlite3.Connection, puts: Sequence[tuple[int, Put]]) -> None:
    """Writes rows of spans, whose starts are all known, by device."""
    _PUT_SPAN.run(
        connection,
        [(device, *put.start, put.owner, *(put.claim or (None, None))) for device, put in puts],
    )


def delete_spans(connection: sqlite3.Connection, starts: Sequence[tuple[int, Position]]) -> None:
    """Deletes rows of spans by device and start."""
    if starts:
        connection.execute(_DELETE_SPANS, (as_json([(d, *start) for d, start in starts]),))


def neighbours(
    connection: sqlite3.Connection, wanted: Sequence[tuple[int, Position]]
) -> list[Neighbours]:
    """The rows around positions of devices."""
    rows = one(connection, _NEIGHBOURS, as_json([(d, *position) for d, position in wanted]))
    return [
        Neighbours(row_of(before), row_of(at) or Row(START), row_of(behind))
        for at, before, behind in rows
    ]


def segment_end(connection: sqlite3.Connection, device: int, start: Position) -> Position:
    """Where the segment ends that starts there and that nobody owns."""
    behind = neighbours(connection, [(device, start)])[0].behind
    return FOREVER if behind is None else behind.start


def claims(
    connection: sqlite3.Connection, wanted: Sequence[tuple[int, int, Position, Position]]
) -> list[tuple[Position | None, Position | None]]:
    """For a device, a user, a position and a bound: the user's last claim before the
    position, and their first one behind it and before the bound.
    """
    if not wanted:
        return []
    rows = one(connection, _CLAIMS, as_json([(d, u, *p, *bound) for d, u, p, bound in wanted]))
    return [(_position(before), _position(behind)) for before, behind in rows]


def walk(
    connection: sqlite3.Connection, wanted: Sequence[tuple[int, Cut]], session_gap: int
) -> list[Position]:
    """Where visits start, walking back from their cuts' origins; bounded by one visit."""
    if session_gap == 0:
        return [cut.origin for _, cut in wanted]
    if not wanted:
        return []
    rows = [(d, *cut.origin, *cut.wall, session_gap) for d, cut in wanted]
    return [Position(*row) for row in map(_loads, one(connection, _WALK, as_json(rows)))]


def apply_plans(
    connection: sqlite3.Connection, plans: Sequence[tuple[int, Plan]], session_gap: int
) -> None:
    """Carries out what late messages change, finding the cuts on the way."""
    cuts = [
        (device, put.start)
        for device, plan in plans
        for put in plan.put
        if isinstance(put.start, Cut)
    ]
    found = dict(zip(cuts, walk(connection, cuts, session_gap), strict=True))
    delete_spans(connection, [(d, start) for d, plan in plans for start in plan.delete])
    put_spans(
        connection,
        [
            (d, put._replace(start=found[d, put.start]) if isinstance(put.start, Cut) else put)
            for d, plan in plans
            for put in plan.put
        ],
    )


def refresh(connection: sqlite3.Connection, devices: Collection[Device]) -> None:
    """Reads owner and segment of devices again from their last rows."""
    by_id = {device.id: device for device in devices}
    for device_id, cell in one(connection, _LAST_SPANS, as_json(list(by_id))) if by_id else []:
        row = row_of(cell)
        if row is not None:
            by_id[device_id].owner = row.owner


_LAST_VISITOR = """
    SELECT json_array(at, message_id) FROM message
    WHERE device = ? AND user IS NULL
    ORDER BY at DESC, message_id DESC LIMIT 1
"""
_ROWS = f"""
    SELECT json_group_array({_SPAN}) FROM (
        SELECT * FROM span WHERE device = ? ORDER BY start_at, start_id
    )
"""  # noqa: S608


def rows(connection: sqlite3.Connection, device: int) -> list[Row]:
    """All rows of a device, in order."""
    found = (row_of(cell) for cell in one(connection, _ROWS, device))
    return [row for row in found if row is not None]


def renew(connection: sqlite3.Connection, device: Device) -> None:
    """Reads a device's state again from its rows and the ledger, after claims were struck."""
    stored = rows(connection, device.id)
    row = stored[-1] if stored else Row(START)
    device.owner, device.segment = row.owner, _segment_of(stored)
    device.visit, device.visit_known = None, False
    ends = [_position(one(connection, _LAST_VISITOR, device.id))]
    if row.owner is not None:
        ends.append(claims(connection, [(device.id, row.owner, FOREVER, FOREVER)])[0][0])
    if device.segment != START:
        ends.append(Position(device.segment.at, device.segment.message_id[:-1]))
    device.last = max((end for end in ends if end is not None), default=None)


def _segment_of(stored: Sequence[Row]) -> Position:
    return next((row.start for row in reversed(stored) if row.opens_segment), START)


def row_of(cell: Any) -> Row | None:
    """A row of spans from its JSON."""
    cell = _loads(cell)
    if cell is None:
        return None
    start_at, start_id, owner, claim_at, claim_id = cell
    claim = None if claim_at is None else Position(claim_at, claim_id)
    return Row(Position(start_at, start_id), owner, claim)


def _position(cell: Any) -> Position | None:
    cell = _loads(cell)
    return None if cell is None else Position(*cell)


def _loads(cell: Any) -> Any:
    """A nested value, which SQLite gives as text where it lost sight of its being JSON."""
    return orjson.loads(cell) if isinstance(cell, str) else cell


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
