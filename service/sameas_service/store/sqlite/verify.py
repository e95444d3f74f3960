"""Holds the derived tables against the ledger, row by row."""

import sqlite3
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sameas_service.domain import payload
from sameas_service.domain.message import START
from sameas_service.domain.profile import MISSING, Trait
from sameas_service.store.sqlite import derived, marker, profiles
from sameas_service.store.sqlite.derived import Progress
from sameas_service.store.sqlite.offline import opened
from sameas_service.store.sqlite.scratch import TABLES, Table

Cells = dict[str, Any]


class Difference(NamedTuple):
    """A row that is not what the ledger makes of it.

    Attributes:
        table: its table.
        key: the columns of its primary key, and its name where it has one.
        found: the columns that differ, as stored; None for no row.
        expected: the same as they must be; None for no row.
    """

    table: str
    key: Cells
    found: Cells | None
    expected: Cells | None


# What the incremental path may leave otherwise, since no later message can tell.
_ALLOWED = (
    # A late arrival leaves the visit's start unknown until it is needed or seen again.
    """
    UPDATE fresh.device SET visit_at = NULL, visit_id = NULL, visit_known = 0
    WHERE id IN (SELECT id FROM main.device WHERE visit_known = 0)
    """,
    # Whether profiles must be looked at when spans move: saying so too often costs time only.
    """
    UPDATE fresh.device SET has_operations = 1
    WHERE id IN (SELECT id FROM main.device WHERE has_operations = 1)
    """,
    # A first segment that was taken back from its one claimant has a row without an owner.
    f"""
    INSERT OR IGNORE INTO fresh.span
    SELECT device, start_at, start_id, owner, claim_at, claim_id FROM main.span
    WHERE (start_at, start_id) = ({START.at}, '') AND owner IS NULL AND claim_at IS NULL
    """,  # noqa: S608
)
_NAMES = {"device": "name", "user": "name", "message": "message_id"}


def verify(directory: Path, progress: Progress) -> Iterator[Difference]:
    """The differences between a data directory's derived tables and what its ledger gives.

    Raises:
        NoDatabaseError: there is no database.
        DirectoryBusyError: a server has it open.
        RebuildUnfinishedError: what is there is not meant to be right.
    """
    with opened(directory) as connection:
        marker.check(connection)
        derived.compute(connection, {}, progress)
        for statement in _ALLOWED:
            connection.execute(statement)
        connection.create_function("settled", 1, settled, deterministic=True)
        for number, table in enumerate(TABLES):
            progress("comparing", number, len(TABLES))
            yield from _differences(connection, table)
        progress("comparing", len(TABLES), len(TABLES))


def settled(text: str) -> str:
    """A stored profile in the one form in which two that mean the same are equal.

    Every part of a trait matters to what is absorbed later. Traits stand in order of name, and
    a number is an exact fraction, since the fast path may keep a whole sum as either.
    """
    try:
        traits = sorted(profiles.decode(text).items())
    except (ValueError, TypeError, AttributeError):
        return f"unreadable: {text}"
    return orjson.dumps([(name, *_settled_trait(trait)) for name, trait in traits]).decode()


def _settled_trait(trait: Trait) -> tuple[Any, ...]:
    value, form = trait.value, "json"
    if value is MISSING:
        form, value = "missing", None
    elif type(value) in (int, float) or isinstance(value, Fraction):
        form, value = "number", str(Fraction(value))
    else:
        value = payload.canonical(value)
    assigned = None if trait.assigned is None else tuple(trait.assigned)
    return form, value, tuple(trait.touched), assigned, bool(trait.named), bool(trait.sums)


def _differences(connection: sqlite3.Connection, table: Table) -> Iterator[Difference]:
    columns = (*table.keys, *table.values)
    for row in connection.execute(_comparison(table)):
        name, count = row[0], len(columns)
        key = dict(zip(table.keys, row[3:], strict=False))
        found = dict(zip(columns, row[3 : 3 + count], strict=True)) if row[1] else None
        expected = dict(zip(columns, row[3 + count :], strict=True)) if row[2] else None
        if found is None and expected is not None:
            key = {column: expected[column] for column in table.keys}
        if name is not None:
            key |= {_NAMES[table.name]: name}
        yield Difference(table.name, key, *_apart(table, found, expected))


def _apart(
    table: Table, found: Cells | None, expected: Cells | None
) -> tuple[Cells | None, Cells | None]:
    """The columns in which two rows differ; all but the key where there is only one row."""
    names = [
        name
        for name in table.values
        if found is None or expected is None or found[name] != expected[name]
    ]
    return (
        None if found is None else {name: found[name] for name in names},
        None if expected is None else {name: expected[name] for name in names},
    )


def _comparison(table: Table) -> str:
    """SQL for the rows that differ: a name, whether there is a row on either side, and both."""
    same_key = " AND ".join(f"found.{key} = wanted.{key}" for key in table.keys)
    columns = (*table.keys, *table.values)
    both = ", ".join(f"{side}.{column}" for side in ("found", "wanted") for column in columns)
    key = table.keys[0]
    what = f"found.{key} IS NOT NULL, wanted.{key} IS NOT NULL, {both}"
    name = f"found.{_NAMES[table.name]}" if table.name in _NAMES else "NULL"
    stray = "" if table.is_kept else f"wanted.{key} IS NULL OR "
    return f"""
        SELECT {name}, {what}
        FROM main.{table.name} AS found LEFT JOIN fresh.{table.name} AS wanted ON {same_key}
        WHERE {stray}(wanted.{key} IS NOT NULL AND {_values_differ(table)})
        UNION ALL
        SELECT NULL, {what}
        FROM fresh.{table.name} AS wanted LEFT JOIN main.{table.name} AS found ON {same_key}
        WHERE found.{key} IS NULL
    """  # noqa: S608


def _values_differ(table: Table) -> str:
    if not table.values:
        return "0"
    found = ", ".join(f"found.{column}" for column in table.values)
    wanted = ", ".join(f"wanted.{column}" for column in table.values)
    differ = f"({found}) IS NOT ({wanted})"
    if table.name == "profile":
        return f"{differ} AND settled(found.traits) IS NOT settled(wanted.traits)"
    return differ
