"""Hold the derived tables against the ledger, row by row."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import orjson

from sameas_service.domain import payload
from sameas_service.domain.message import START
from sameas_service.domain.profile import MISSING, Trait
from sameas_service.resolver.facts import TABLES, Table
from sameas_service.resolver.failures import RebuildUnfinished
from sameas_service.resolver.maintain.derivation import Derivation, Progress
from sameas_service.resolver.maintain.external_sort import Row
from sameas_service.resolver.ports import Maintenance
from sameas_service.resolver.profile_codec import decode

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


def verify(maintenance: Maintenance, progress: Progress) -> Iterator[Difference]:
    """Yield the differences between the derived tables and what the ledger gives.

    Raises:
        RebuildUnfinished: what is there is not meant to be right.
    """
    if maintenance.is_rebuilding():
        raise RebuildUnfinished
    for workspace in maintenance.workspaces():
        with Derivation(maintenance, workspace, progress) as derived:
            for number, table in enumerate(TABLES):
                progress("comparing", number, len(TABLES))
                names: Iterator[tuple[int, str]] = iter(())
                if table.is_kept:
                    names = maintenance.names(workspace, table.name)
                yield from _differences(table, derived.wrong(table), names)
    progress("comparing", len(TABLES), len(TABLES))


def settled(text: str) -> str:
    """Return a stored profile in the one form in which two that mean the same are equal.

    Every part of a trait matters to what is absorbed later. Traits are in order of name, and a
    number is an exact fraction, since the incremental path may keep a whole sum as either.
    """
    try:
        traits = sorted(decode(text).items())
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


def _differences(
    table: Table,
    wrong: Iterator[tuple[Row | None, Row | None]],
    names: Iterator[tuple[int, str]],
) -> Iterator[Difference]:
    """Yield what differs beyond what is allowed. Names are those of the rows, in their order."""
    for one, other in wrong:
        found, expected = _cells(table, one), _cells(table, other)
        if table.name in _ALLOWED:
            expected = _ALLOWED[table.name](found, expected)
        if found == expected:
            continue
        known = found or expected or {}
        key = {column: known[column] for column in table.keys}
        if one is not None and table.is_kept:
            key[_NAMES[table.name]] = next(name for number, name in names if number == one[0])
        columns = [
            column
            for column in table.values
            if found is None or expected is None or found[column] != expected[column]
        ]
        yield Difference(table.name, key, _only(columns, found), _only(columns, expected))


_NAMES = {"device": "name", "user": "name", "message": "message_id"}


def _cells(table: Table, row: Row | None) -> Cells | None:
    return None if row is None else dict(zip((*table.keys, *table.values), row, strict=True))


def _only(columns: list[str], cells: Cells | None) -> Cells | None:
    return None if cells is None else {column: cells[column] for column in columns}


def _allowed_device(found: Cells | None, expected: Cells | None) -> Cells | None:
    """Allow an unknown visit, and operations that are no more.

    A late arrival leaves the visit's start unknown until it is needed or seen again. To look at
    profiles too often when spans move costs time only.
    """
    if found is None or expected is None:
        return expected
    allowed = dict(expected)
    if found["visit_known"] == 0:
        allowed |= {"visit_at": None, "visit_id": None, "visit_known": 0}
    if found["has_operations"] == 1:
        allowed["has_operations"] = 1
    return allowed


def _allowed_span(found: Cells | None, expected: Cells | None) -> Cells | None:
    """Allow a row without an owner for a first segment: it was taken from its one claimant."""
    if found is None or expected is not None:
        return expected
    is_first = (found["start_at"], found["start_id"]) == START
    return found if is_first and found["owner"] is None and found["claim_at"] is None else None


def _allowed_profile(found: Cells | None, expected: Cells | None) -> Cells | None:
    """Allow the same profile in other words."""
    if found is None or expected is None:
        return expected
    return found if settled(found["traits"]) == settled(expected["traits"]) else expected


_ALLOWED = {"device": _allowed_device, "span": _allowed_span, "profile": _allowed_profile}
"""What the incremental path may leave otherwise, since no later message can tell: each returns
what is expected where the first argument was found."""
