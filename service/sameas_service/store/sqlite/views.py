"""Persons as a reader sees them, read from a snapshot: two questions, whatever their number."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from sameas_service.domain.limits import ANONYMOUS_IDS_MAX
from sameas_service.resolver.ports import PersonKey, PersonView
from sameas_service.store.sqlite import profiles
from sameas_service.store.sqlite.connection import as_json
from sameas_service.store.sqlite.devices import FOREVER
from sameas_service.store.sqlite.holders import Canonical, Holder, person_id_of, resolve
from sameas_service.store.sqlite.subject import Segment, Workspace

_BEHIND = """
    SELECT {column} FROM span
    WHERE span.device = value ->> 0 AND (start_at, start_id) > (value ->> 1, value ->> 2)
    ORDER BY start_at, start_id LIMIT 1
"""
_VISITOR = """
    SELECT at FROM message
    WHERE message.device = piece.device AND message.user IS NULL
        AND (at, message_id) >= (start_at, start_id)
        AND (at, message_id) < (end_at, end_id)
"""
_VIEWS = f"""
    WITH
    mine AS MATERIALIZED (
        SELECT value AS holder, user.id AS user, user.name
        FROM json_each(?1) JOIN user ON user.canonical = value
    ),
    piece AS MATERIALIZED (
        SELECT holder, device, start_at, start_id, end_at, end_id
        FROM mine JOIN stretch ON stretch.owner = mine.user
        UNION ALL
        SELECT
            -1 - key, value ->> 0, value ->> 1, value ->> 2,
            ifnull(({_BEHIND.format(column="start_at")}), {FOREVER.at}),
            ifnull(({_BEHIND.format(column="start_id")}), '')
        FROM json_each(?2)
    ),
    seen AS (
        SELECT
            holder,
            (SELECT at FROM message WHERE message.user = mine.user ORDER BY at LIMIT 1) AS first,
            (SELECT at FROM message WHERE message.user = mine.user ORDER BY at DESC LIMIT 1) AS last
        FROM mine
        UNION ALL
        SELECT
            holder,
            ({_VISITOR} ORDER BY at, message_id LIMIT 1),
            ({_VISITOR} ORDER BY at DESC, message_id DESC LIMIT 1)
        FROM piece
    )
    SELECT
        (
            SELECT json_group_array(json_array(holder, first, last))
            FROM (SELECT holder, min(first) AS first, max(last) AS last FROM seen GROUP BY holder)
            WHERE first IS NOT NULL
        ),
        (SELECT json_group_array(json_array(holder, name)) FROM mine),
        (
            SELECT json_group_array(json_array(value, (
                SELECT json_group_array(name) FROM (
                    SELECT DISTINCT device.name
                    FROM piece JOIN device ON device.id = piece.device
                    WHERE piece.holder = json_each.value
                    ORDER BY device.name LIMIT {ANONYMOUS_IDS_MAX + 1}
                )
            )))
            FROM json_each(?1)
        ),
        ({profiles.BY_ID.format(ids="?3")})
"""  # noqa: S608


def persons(
    connection: sqlite3.Connection, workspace: Workspace, keys: Sequence[PersonKey]
) -> list[PersonView | None]:
    """The person of each key; None where no message named it."""
    holders = resolve(connection, workspace, keys)
    known = list({holder for holder in holders if holder is not None})
    views = _views(connection, workspace, known) if known else {}
    return [None if holder is None else views.get(holder) for holder in holders]


def _views(
    connection: sqlite3.Connection, workspace: Workspace, known: Sequence[Holder]
) -> dict[Holder, PersonView]:
    by_key = _keys(known)
    ids = {key: person_id_of(holder, workspace) for key, holder in by_key.items()}
    seen, names, devices, texts = _look(connection, known, ids.values())
    users = _users(names, by_key)
    anonymous = dict(devices)
    traits = dict(texts)
    views = {}
    for key, first, last in seen:
        holder, person_id = by_key[key], ids[key]
        found = (holder.name,) if isinstance(holder, Segment) else anonymous[key]
        views[holder] = PersonView(
            person_id,
            users.get(key, ()),
            found[:ANONYMOUS_IDS_MAX],
            len(found) > ANONYMOUS_IDS_MAX,
            first // 2,
            last // 2,
            profiles.values(traits.get(person_id, "{}")),
        )
    return views


def _keys(known: Sequence[Holder]) -> dict[int, Holder]:
    """Holders by what stands for them in the question: a canonical user's surrogate, which is
    positive, or a segment's place in the list, counted down from -1.
    """
    segments = [holder for holder in known if isinstance(holder, Segment)]
    by_key: dict[int, Holder] = {-1 - place: holder for place, holder in enumerate(segments)}
    by_key.update({holder.id: holder for holder in known if isinstance(holder, Canonical)})
    return by_key


def _look(
    connection: sqlite3.Connection, known: Sequence[Holder], person_ids: Iterable[str]
) -> Sequence[Any]:
    """What there is of holders: when they were first and last seen, the users of each, the
    devices of each, and profiles.
    """
    parameters = (
        as_json([holder.id for holder in known if isinstance(holder, Canonical)]),
        as_json([(h.device, *h.start) for h in known if isinstance(h, Segment)]),
        as_json(list(person_ids)),
    )
    return [orjson.loads(cell) for cell in connection.execute(_VIEWS, parameters).fetchone()]


def _users(rows: Iterable[tuple[int, str]], by_key: dict[int, Holder]) -> dict[int, list[str]]:
    """The user ids of each canonical user's person, that one first and the others in order."""
    users = {key: [h.name] for key, h in by_key.items() if isinstance(h, Canonical)}
    for key, name in sorted(rows):
        if name != by_key[key].name:
            users[key].append(name)
    return users
