"""Persons' timelines, read from a snapshot."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from sameas_service.domain.message import Position
from sameas_service.resolver.ports import Filter, Page, PersonKey
from sameas_service.store.sqlite import devices
from sameas_service.store.sqlite.connection import as_json, one
from sameas_service.store.sqlite.devices import FOREVER
from sameas_service.store.sqlite.holders import Canonical, Holder, resolve
from sameas_service.store.sqlite.ledger import JOINS, MESSAGE, message_of
from sameas_service.store.sqlite.subject import Segment, Workspace

EXAMINED_MAX = 10_000
"""Messages that one page looks at, most of which a filter may pass over."""

_CHUNK_MIN = 200

_SOURCES = """
    SELECT json_group_array(json_array(canonical, user, device, start_at, start_id, end_at, end_id))
    FROM (
        SELECT
            canonical, user.id AS user, NULL AS device,
            NULL AS start_at, NULL AS start_id, NULL AS end_at, NULL AS end_id
        FROM json_each(?1) JOIN user ON user.canonical = value
        UNION ALL
        SELECT canonical, NULL, device, start_at, start_id, end_at, end_id
        FROM json_each(?1)
        JOIN user ON user.canonical = value
        JOIN stretch ON stretch.owner = user.id
    )
"""
_WANTED = """
    SELECT
        key AS k, value ->> 0 AS user, value ->> 1 AS device,
        value ->> 2 AS start_at, value ->> 3 AS start_id,
        value ->> 4 AS end_at, value ->> 5 AS end_id
    FROM json_each(?1)
"""
_ANY = f"""
    SELECT EXISTS (
        SELECT 1 FROM ({_WANTED}) AS wanted
        WHERE EXISTS (SELECT 1 FROM message WHERE message.user = wanted.user)
            OR EXISTS (
                SELECT 1 FROM message
                WHERE message.device = wanted.device AND message.user IS NULL
                    AND (at, message_id) >= (start_at, start_id)
                    AND (at, message_id) < (end_at, end_id)
            )
    )
"""  # noqa: S608
_CHUNK = f"""
    WITH wanted AS MATERIALIZED ({_WANTED}),
    chunk AS MATERIALIZED (
        SELECT seq, at, message_id FROM (
            SELECT message.seq, message.at, message.message_id
            FROM wanted JOIN message ON message.seq IN (
                SELECT seq FROM message
                WHERE message.user = wanted.user
                    AND (at, message_id) > (?2, ?3) AND at < ?4
                ORDER BY at, message_id LIMIT ?5
            )
            WHERE wanted.user IS NOT NULL
            UNION ALL
            SELECT message.seq, message.at, message.message_id
            FROM wanted JOIN message ON message.seq IN (
                SELECT seq FROM message
                WHERE message.device = wanted.device AND message.user IS NULL
                    AND (at, message_id) > (?2, ?3) AND at < ?4
                    AND (at, message_id) >= (wanted.start_at, wanted.start_id)
                    AND (at, message_id) < (wanted.end_at, wanted.end_id)
                ORDER BY at, message_id LIMIT ?5
            )
            WHERE wanted.device IS NOT NULL
        )
        ORDER BY at, message_id LIMIT ?5
    )
    SELECT json_array(
        (SELECT count(*) FROM chunk),
        (
            SELECT json_group_array({MESSAGE})
            FROM chunk JOIN message USING (seq) {JOINS}
            WHERE (?6 IS NULL OR message.kind IN (SELECT value FROM json_each(?6)))
                AND (?7 IS NULL OR message.event IN (SELECT value FROM json_each(?7)))
        ),
        json((
            SELECT json_array(at, message_id) FROM chunk
            ORDER BY at DESC, message_id DESC LIMIT 1
        ))
    )
"""  # noqa: S608
# What comes out of a sort is a text for `json_array`, and no array, unless `json` says it is.


class PageQuery(NamedTuple):
    """One question for a page of a timeline."""

    key: PersonKey
    only: Filter
    behind: Position | None
    limit: int


class Source(NamedTuple):
    """Where messages of a person stand: all that name a user, or a stretch of a device's
    that name nobody.
    """

    user: int | None
    device: int | None = None
    start: Position | None = None
    end: Position | None = None


def sources(connection: sqlite3.Connection, known: Sequence[Holder]) -> dict[Holder, list[Source]]:
    """Where the messages of each holder stand."""
    found: dict[Holder, list[Source]] = {holder: [] for holder in known}
    canonical = {holder.id: holder for holder in known if isinstance(holder, Canonical)}
    if canonical:
        for row in one(connection, _SOURCES, as_json(list(canonical))):
            found[canonical[row[0]]].append(_source(row[1:]))
    for holder in known:
        if isinstance(holder, Segment):
            end = devices.segment_end(connection, holder.device, holder.start)
            found[holder].append(Source(None, holder.device, holder.start, end))
    return found


def _source(row: Sequence[Any]) -> Source:
    user, device, start_at, start_id, end_at, end_id = row
    if user is not None:
        return Source(user)
    return Source(None, device, Position(start_at, start_id), Position(end_at, end_id))


def _as_rows(found: Sequence[Source]) -> str:
    none = (None, None)
    return as_json([(s.user, s.device, *(s.start or none), *(s.end or none)) for s in found])


def messages(
    connection: sqlite3.Connection,
    workspace: Workspace,
    key: PersonKey,
    only: Filter,
    behind: Position | None,
    limit: int,
) -> Page | None:
    """A page of a person's timeline; None where there is no such person."""
    holder = resolve(connection, workspace, [key])[0]
    if holder is None:
        return None
    rows = _as_rows(sources(connection, [holder])[holder])
    if not connection.execute(_ANY, (rows,)).fetchone()[0]:
        return None
    found: list[Any] = []
    position = behind or Position(0 if only.start_time is None else 2 * only.start_time, "")
    examined = 0
    while examined < EXAMINED_MAX:
        wanted = limit - len(found)
        size = wanted if not (only.kinds or only.events) else max(wanted, _CHUNK_MIN)
        count, more, last = one(connection, _CHUNK, rows, *_bounds(position, only, size))
        examined += count
        found += sorted(more, key=lambda row: (row[2], row[0]))
        if len(found) > limit or (len(found) == limit and count == size):
            found = found[:limit]
            edge = found[-1]
            return Page([message_of(row) for row in found], Position(edge[2], edge[0]))
        if count < size:
            return Page([message_of(row) for row in found], None)
        position = Position(*last)
    return Page([message_of(row) for row in found], position)


def _bounds(position: Position, only: Filter, size: int) -> tuple[Any, ...]:
    return (
        *position,
        FOREVER.at if only.end_time is None else 2 * only.end_time,
        size,
        as_json(sorted(only.kinds)) if only.kinds else None,
        # SQLite would cut a name off at NUL; no event has one.
        as_json(sorted(e for e in only.events if "\x00" not in e)) if only.events else None,
    )
