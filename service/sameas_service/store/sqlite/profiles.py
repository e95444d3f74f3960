"""Profiles: the cached fold over each person's operations."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from typing import Any

import orjson

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Position
from sameas_service.domain.operations import parse_operations
from sameas_service.domain.payload import Json
from sameas_service.domain.profile import MISSING, Entry, Trait, rounded
from sameas_service.store.sqlite import devices
from sameas_service.store.sqlite.connection import Insert, as_json, one

BY_ID = """
    SELECT json_group_array(json_array(person_id, traits))
    FROM profile WHERE person_id IN (SELECT value FROM json_each({ids}))
"""
"""SQL for the texts of persons' profiles; `ids` is to be a parameter with their ids."""

_LOAD = BY_ID.format(ids="?")
_DELETE = "DELETE FROM profile WHERE person_id IN (SELECT value FROM json_each(?))"
_SAVE = Insert("profile", 2, "ON CONFLICT DO UPDATE SET traits = excluded.traits")
_ENTRY = "json_array(message.at, message.message_id, message.kind, message.payload)"
_OF_USER = f"""
    SELECT json_group_array({_ENTRY})
    FROM user JOIN message ON message.user = user.id AND message.speaks = 1
    WHERE user.canonical = ?
"""  # noqa: S608
_OF_SPANS = f"""
    SELECT json_group_array({_ENTRY})
    FROM user
    JOIN stretch ON stretch.owner = user.id
    JOIN message ON message.device = stretch.device
        AND message.user IS NULL AND message.speaks = 1
        AND (message.at, message.message_id) >= (stretch.start_at, stretch.start_id)
        AND (message.at, message.message_id) < (stretch.end_at, stretch.end_id)
    WHERE user.canonical = ?
"""  # noqa: S608
_OF_SEGMENT = f"""
    SELECT json_group_array({_ENTRY})
    FROM message
    WHERE device = ? AND user IS NULL AND speaks = 1
        AND (at, message_id) >= (?, ?) AND (at, message_id) < (?, ?)
"""  # noqa: S608


def load(connection: sqlite3.Connection, person_ids: Iterable[str]) -> dict[str, dict[str, Trait]]:
    """The cached traits of persons, by person id; those without any are missing."""
    rows = one(connection, _LOAD, as_json(list(person_ids)))
    return {person_id: decode(text) for person_id, text in rows}


def save(connection: sqlite3.Connection, profiles: Mapping[str, dict[str, Trait]]) -> None:
    """Writes the traits of persons."""
    delete(connection, [person_id for person_id, traits in profiles.items() if not traits])
    rows = [(person_id, encode(traits)) for person_id, traits in profiles.items() if traits]
    _SAVE.run(connection, rows)


def delete(connection: sqlite3.Connection, person_ids: Collection[str]) -> None:
    """Forgets the traits of persons that are no more, or have none."""
    if person_ids:
        connection.execute(_DELETE, (as_json(list(person_ids)),))


def entries_of_user(connection: sqlite3.Connection, canonical: int) -> list[Entry]:
    """All operations of a person with user ids, by messages of theirs and on their spans."""
    own = _entries(one(connection, _OF_USER, canonical), named=True)
    return own + _entries(one(connection, _OF_SPANS, canonical), named=False)


def entries_of_segment(
    connection: sqlite3.Connection, device: int, start: Position, end: Position | None = None
) -> list[Entry]:
    """All operations in a segment by messages that name no user, up to a position or its end."""
    end = end or devices.segment_end(connection, device, start)
    rows = one(connection, _OF_SEGMENT, device, *start, *end)
    return _entries(rows, named=False)


def encode(traits: dict[str, Trait]) -> str:
    """A profile as text. Fractions and missing values are marked, as JSON has neither."""
    return orjson.dumps({name: _cells(trait) for name, trait in traits.items()}).decode()


def decode(text: str) -> dict[str, Trait]:
    """A profile from its text."""
    return {name: _trait(cells) for name, cells in orjson.loads(text).items()}


def values(text: str) -> dict[str, Json]:
    """What a reader sees of a profile: each trait that has a value, sums rounded once."""
    return {
        name: rounded(Fraction(value)) if form == _SUM else value
        for name, (form, value, *_) in sorted(orjson.loads(text).items())
        if form != _MISSING
    }


_JSON, _MISSING, _SUM = 0, 1, 2


def _cells(trait: Trait) -> tuple[Any, ...]:
    form, value = _JSON, trait.value
    if value is MISSING:
        form, value = _MISSING, None
    elif type(value) is Fraction or (type(value) is int and abs(value) > 2**53):
        form, value = _SUM, str(value)
    assigned = None if trait.assigned is None else tuple(trait.assigned)
    return (form, value, tuple(trait.touched), assigned, trait.named, trait.sums)


def _trait(cells: list[Any]) -> Trait:
    form, value, touched, assigned, named, sums = cells
    if form == _MISSING:
        value = MISSING
    elif form == _SUM:
        value = Fraction(value)
    since = None if assigned is None else Position(*assigned)
    return Trait(value, Position(*touched), since, named, sums)


def _entries(rows: Iterable[Any], *, named: bool) -> list[Entry]:
    return [
        Entry(Position(at, message_id), named, parse_operations(Kind(kind), text))
        for at, message_id, kind, text in rows
    ]
