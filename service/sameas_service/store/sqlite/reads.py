"""Questions of a snapshot: persons, their timelines, and changes.

A question is one statement with one row and column as its answer, in JSON: the sqlite3 module
gives up the interpreter's lock at every row, and beside a busy event loop it takes long to get
it back. Surrogates are unique over all workspaces, so that a question by surrogates needs no
workspace; one by names does.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from sameas_service.domain.changes import Change, ChangeKind, LoggedChange
from sameas_service.domain.kinds import KINDS
from sameas_service.domain.limits import ANONYMOUS_IDS_MAX
from sameas_service.domain.message import START, Message, Position
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.facts import (
    FOREVER,
    AnonymousSegment,
    CanonicalUser,
    Chunk,
    Filter,
    PersonFacts,
    PersonKey,
    PersonRef,
    Source,
    Workspace,
    person_id_of,
)
from sameas_service.store.sqlite.connection import Statements, as_json
from sameas_service.store.sqlite.ledger import JOINS, MESSAGE, message_of, wanted_key

_UNLINKS = ", ".join(str(int(kind)) for kind, traits in KINDS.items() if not traits.on_timeline)
_SPAN_AT = """(
    SELECT {column} FROM span
    WHERE span.device = {device} AND (start_at, start_id) <= ({at}, {id})
    ORDER BY start_at DESC, start_id DESC LIMIT 1
)"""


def _span_at(column: str, device: str, at: str, id_: str) -> str:
    """Return SQL for a column of the span that holds a position."""
    return _SPAN_AT.format(column=column, device=device, at=at, id=id_)


_FIRST_OWNER = _span_at("owner", "device.id", "person.start_at", "person.start_id")
_RESOLVE = f"""
    WITH wanted AS (
        SELECT key AS k, value ->> 0 AS by, value ->> 1 AS id FROM json_each(:keys)
    ),
    found AS (
        SELECT k, user.id AS user, NULL AS device, NULL AS name, 0 AS start_at, '' AS start_id
        FROM wanted JOIN user ON user.workspace = :workspace AND user.name = wanted.id
        WHERE by = 'user'
        UNION ALL
        SELECT
            k, {_span_at("owner", "device.id", "last_at", "last_id")}, device.id, device.name,
            {_span_at("start_at", "device.id", "last_at", "last_id")},
            {_span_at("start_id", "device.id", "last_at", "last_id")}
        FROM wanted JOIN device ON device.workspace = :workspace AND device.name = wanted.id
        WHERE by = 'anonymous' AND device.last_at <> {START.at}
        UNION ALL
        SELECT
            k, ifnull(person.user, {_FIRST_OWNER}),
            device.id, device.name, person.start_at, person.start_id
        FROM wanted
        JOIN person ON person.workspace = :workspace AND person.person_id = wanted.id
        LEFT JOIN device ON device.id = person.device
        WHERE by = 'person'
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
        message_id, canonical.id, canonical.name, device, device_name, start_at, start_id
    ))
    FROM (
        SELECT
            message.message_id, message.device, device.name AS device_name,
            -- Struck links and unlinks belong to no person; their answers name the user's.
            coalesce(
                message.user, message.struck,
                {_span_at("owner", "message.device", "at", "message_id")},
                iif(kind IN ({_UNLINKS}), (
                    SELECT user.id
                    FROM unlink JOIN user
                        ON user.workspace = unlink.workspace AND user.name = unlink.user
                    WHERE unlink.workspace = message.workspace
                        AND unlink.message_id = message.message_id
                ), NULL)
            ) AS owner,
            {_span_at("start_at", "message.device", "at", "message_id")} AS start_at,
            {_span_at("start_id", "message.device", "at", "message_id")} AS start_id
        FROM message LEFT JOIN device ON device.id = message.device
        WHERE message.workspace = :workspace
            AND message.message_id IN (SELECT value FROM json_each(:ids))
    ) AS held
    LEFT JOIN user ON user.id = held.owner
    LEFT JOIN user AS canonical ON canonical.id = user.canonical
"""  # noqa: S608
_AFTER = """(
    SELECT {column} FROM span
    WHERE span.device = value ->> 0 AND (start_at, start_id) > (value ->> 1, value ->> 2)
    ORDER BY start_at, start_id LIMIT 1
)"""
_END_AT = f"ifnull({_AFTER.format(column='start_at')}, {FOREVER.at})"
_END_ID = f"ifnull({_AFTER.format(column='start_id')}, '')"
_VISITOR = """
    SELECT at FROM message
    WHERE message.device = piece.device AND message.user IS NULL
        AND (at, message_id) >= (start_at, start_id)
        AND (at, message_id) < (end_at, end_id)
"""
_FACTS = f"""
    WITH
    mine AS MATERIALIZED (
        SELECT value AS person, user.id AS user, user.name
        FROM json_each(:users) JOIN user ON user.canonical = value
    ),
    piece AS MATERIALIZED (
        SELECT person, device, start_at, start_id, end_at, end_id
        FROM mine JOIN stretch ON stretch.owner = mine.user
        UNION ALL
        SELECT -1 - key, value ->> 0, value ->> 1, value ->> 2, {_END_AT}, {_END_ID}
        FROM json_each(:segments)
    ),
    seen AS (
        SELECT
            person,
            (SELECT at FROM message WHERE message.user = mine.user ORDER BY at LIMIT 1) AS first,
            (SELECT at FROM message WHERE message.user = mine.user ORDER BY at DESC LIMIT 1) AS last
        FROM mine
        UNION ALL
        SELECT
            person,
            ({_VISITOR} ORDER BY at, message_id LIMIT 1),
            ({_VISITOR} ORDER BY at DESC, message_id DESC LIMIT 1)
        FROM piece
    )
    SELECT
        (
            SELECT json_group_array(json_array(person, first, last))
            FROM (SELECT person, min(first) AS first, max(last) AS last FROM seen GROUP BY person)
            WHERE first IS NOT NULL
        ),
        (SELECT json_group_array(json_array(person, name)) FROM mine),
        (
            SELECT json_group_array(json_array(value, (
                SELECT json_group_array(name) FROM (
                    SELECT DISTINCT device.name
                    FROM piece JOIN device ON device.id = piece.device
                    WHERE piece.person = json_each.value
                    ORDER BY device.name LIMIT {ANONYMOUS_IDS_MAX + 1}
                )
            )))
            FROM json_each(:users)
        ),
        (
            SELECT json_group_array(json_array(person_id, traits)) FROM profile
            WHERE workspace = :workspace AND person_id IN (SELECT value FROM json_each(:ids))
        )
"""  # noqa: S608
_SOURCES = """
    SELECT json_group_array(json_array(canonical, user, device, start_at, start_id, end_at, end_id))
    FROM (
        SELECT
            canonical, user.id AS user, NULL AS device,
            NULL AS start_at, NULL AS start_id, NULL AS end_at, NULL AS end_id
        FROM json_each(:users) JOIN user ON user.canonical = value
        UNION ALL
        SELECT canonical, user.id, device, start_at, start_id, end_at, end_id
        FROM json_each(:users)
        JOIN user ON user.canonical = value
        JOIN stretch ON stretch.owner = user.id
    )
"""
_ENDS = f"""
    SELECT json_group_array(json_array({_END_AT}, {_END_ID})) FROM json_each(:places)
"""  # noqa: S608
WANTED = """
    SELECT
        key AS k, value ->> 0 AS user, value ->> 1 AS device,
        value ->> 2 AS start_at, value ->> 3 AS start_id,
        value ->> 4 AS end_at, value ->> 5 AS end_id
    FROM json_each(:sources)
"""
# What comes out of a sort is a text for `json_array`, and no array, unless `json` says it is.
_CHUNK = f"""
    WITH wanted AS MATERIALIZED ({WANTED}),
    chunk AS MATERIALIZED (
        SELECT seq, at, message_id FROM (
            SELECT message.seq, message.at, message.message_id
            FROM wanted JOIN message ON message.seq IN (
                SELECT seq FROM message
                WHERE message.user = wanted.user
                    AND (at, message_id) > (:at, :id) AND at < :end
                ORDER BY at, message_id LIMIT :size
            )
            WHERE wanted.device IS NULL
            UNION ALL
            SELECT message.seq, message.at, message.message_id
            FROM wanted JOIN message ON message.seq IN (
                SELECT seq FROM message
                WHERE message.device = wanted.device AND message.user IS NULL
                    AND (at, message_id) > (:at, :id) AND at < :end
                    AND (at, message_id) >= (wanted.start_at, wanted.start_id)
                    AND (at, message_id) < (wanted.end_at, wanted.end_id)
                ORDER BY at, message_id LIMIT :size
            )
            WHERE wanted.device IS NOT NULL
        )
        ORDER BY at, message_id LIMIT :size
    )
    SELECT json_array(
        (SELECT count(*) FROM chunk),
        (
            SELECT json_group_array({MESSAGE})
            FROM chunk JOIN message USING (seq) {JOINS}
            WHERE (:kinds IS NULL OR message.kind IN (SELECT value FROM json_each(:kinds)))
                AND (:events IS NULL OR message.event IN (SELECT value FROM json_each(:events)))
        ),
        json((
            SELECT json_array(at, message_id) FROM chunk
            ORDER BY at DESC, message_id DESC LIMIT 1
        ))
    )
"""  # noqa: S608
_CHANGES = """
    SELECT json_group_array(json_array(
        cursor, message_id, kind, is_user, name, person_id, former
    ))
    FROM (
        SELECT * FROM change WHERE workspace = :workspace AND cursor > :cursor
        ORDER BY cursor LIMIT :limit
    )
"""
_BY_ID = f"""
    SELECT json_group_array({MESSAGE}) FROM message {JOINS}
    WHERE message.workspace = :workspace
        AND message.message_id IN (SELECT value FROM json_each(:ids))
"""  # noqa: S608


class SqliteReadTransaction(Statements):
    """One snapshot; see `ReadTransaction` for the methods."""

    def resolve(self, workspace: Workspace, keys: Sequence[PersonKey]) -> list[PersonRef | None]:
        wanted = as_json([wanted_key(key) for key in keys])
        found: dict[int, PersonRef] = {}
        for k, *row in self._one(_RESOLVE, workspace=workspace.id, keys=wanted):
            person = _person_of(*row)
            if person is not None:
                found[k] = person
        return [found.get(index) for index in range(len(keys))]

    def persons_of_messages(
        self, workspace: Workspace, message_ids: Sequence[str]
    ) -> dict[str, PersonRef]:
        rows = self._one(_OF_MESSAGES, workspace=workspace.id, ids=as_json(message_ids))
        return {
            message_id: person
            for message_id, *row in rows
            if (person := _person_of(*row)) is not None
        }

    def person_facts(self, workspace: Workspace, persons: Sequence[PersonRef]) -> PersonFacts:
        """See `ReadTransaction.person_facts`.

        In the statement a person is a canonical user's surrogate, which is positive, or a
        segment's place in the list, counted down from -1.
        """
        segments = [one for one in persons if isinstance(one, AnonymousSegment)]
        by_key: dict[int, PersonRef] = {-1 - place: one for place, one in enumerate(segments)}
        by_key.update({one.id: one for one in persons if isinstance(one, CanonicalUser)})
        parameters = {
            "workspace": workspace.id,
            "users": as_json([key for key in by_key if key >= 0]),
            "segments": as_json([(one.device, *one.start) for one in segments]),
            "ids": as_json([person_id_of(one, workspace) for one in persons]),
        }
        row = self._connection.execute(_FACTS, parameters).fetchone()
        seen, names, devices, profiles = map(orjson.loads, row)
        users: dict[PersonRef, list[str]] = {}
        for key, name in names:
            users.setdefault(by_key[key], []).append(name)
        return PersonFacts(
            {by_key[key]: (first, last) for key, first, last in seen},
            users,
            {by_key[key]: found for key, found in devices},
            dict(profiles),
        )

    def sources(
        self, workspace: Workspace, persons: Sequence[PersonRef]
    ) -> dict[PersonRef, list[Source]]:
        found: dict[PersonRef, list[Source]] = {person: [] for person in persons}
        canonical = {one.id: one for one in persons if isinstance(one, CanonicalUser)}
        if canonical:
            for row in self._one(_SOURCES, users=as_json(list(canonical))):
                found[canonical[row[0]]].append(_source_of(*row[1:]))
        segments = [one for one in persons if isinstance(one, AnonymousSegment)]
        if segments:
            places = as_json([(one.device, *one.start) for one in segments])
            for segment, end in zip(segments, self._one(_ENDS, places=places), strict=True):
                source = Source(None, segment.device, segment.start, Position(*end))
                found[segment].append(source)
        return found

    def page(
        self,
        workspace: Workspace,
        sources: Sequence[Source],
        after: Position,
        only: Filter,
        size: int,
    ) -> Chunk:
        examined, rows, last = self._one(
            _CHUNK,
            sources=source_rows(sources),
            at=after.at,
            id=after.message_id,
            end=FOREVER.at if only.end_time is None else 2 * only.end_time,
            size=size,
            kinds=as_json(sorted(only.kinds)) if only.kinds else None,
            # SQLite would cut a name off at NUL; no event has one.
            events=as_json(sorted(e for e in only.events if "\x00" not in e))
            if only.events
            else None,
        )
        messages = sorted(map(message_of, rows), key=_position)
        return Chunk(examined, messages, None if last is None else Position(*last))

    def changes(self, workspace: Workspace, cursor: int, limit: int) -> list[LoggedChange]:
        rows = self._one(_CHANGES, workspace=workspace.id, cursor=cursor, limit=limit)
        return [
            LoggedChange(row[0], row[1], Change(ChangeKind(row[2]), bool(row[3]), *row[4:]))
            for row in rows
        ]

    def messages_by_id(
        self, workspace: Workspace, message_ids: Sequence[str]
    ) -> list[tuple[Message, Outcome]]:
        rows = self._one(_BY_ID, workspace=workspace.id, ids=as_json(message_ids))
        return [(message_of(row), Outcome(row[-1])) for row in rows]


def _person_of(
    canonical: int | None,
    user: str,
    device: int | None,
    name: str,
    start_at: int | None,
    start_id: str,
) -> PersonRef | None:
    if canonical is not None:
        return CanonicalUser(canonical, user)
    if device is None:
        return None
    start = START if start_at is None else Position(start_at, start_id)
    return AnonymousSegment(device, name, start)


def _source_of(user: int, device: int | None, *edges: Any) -> Source:
    if device is None:
        return Source(user)
    return Source(user, device, Position(*edges[:2]), Position(*edges[2:]))


def source_rows(sources: Iterable[Source]) -> str:
    """Return sources as a statement takes them; see `WANTED`."""
    none = (None, None)
    return as_json([(s.user, s.device, *(s.start or none), *(s.end or none)) for s in sources])


def _position(message: Message) -> Position:
    return message.position
