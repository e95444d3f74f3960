"""The profile: one fold, in order of position, over the operations of a person's messages.

`fold` is the rule. `absorb` is its incremental twin for one operation that arrives: it
returns what the fold would return with that operation among the others, or None where it
would need them.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from sameas_service.domain import payload
from sameas_service.domain.limits import INTEGER_MAX, LIST_ELEMENTS_MAX
from sameas_service.domain.message import Position
from sameas_service.domain.operations import Operation
from sameas_service.domain.payload import Json


class _Missing:
    """The value of a trait that has none; not null, which is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()

SETTERS = frozenset(["set", "set_once", "unset"])
"""Skipped in a message without a user id, where the user has set the trait."""

ASSIGNS = frozenset(["set", "unset"])
"""What a trait was before does not matter to these."""

FLOAT_MAX = 1.7976931348623157e308


class Trait(NamedTuple):
    """What the fold knows about one trait.

    Attributes:
        value: JSON, or a Fraction while a sum is not yet rounded, or `MISSING`.
        touched: position of the last operation that was applied.
        assigned: position of the last `set` or `unset`; what came before cannot matter.
        named: whether a message with a user id ever `set` or `unset` it.
        sums: whether nothing but increments came since; then they may come in any order.
    """

    value: Any
    touched: Position
    assigned: Position | None
    named: bool
    sums: bool


class Entry(NamedTuple):
    """One message's operations, its position, and whether it names a user."""

    position: Position
    named: bool
    operations: Sequence[Operation]


class Skipped(NamedTuple):
    """An operation that did not fit the value it met."""

    position: Position
    operation: Operation


class Folded(NamedTuple):
    """The result of a fold."""

    traits: dict[str, Trait]
    skipped: list[Skipped]


def fold(entries: Iterable[Entry]) -> Folded:
    """Fold the operations of all messages of a person, given in any order, into traits."""
    ordered = sorted(entries)
    named = {
        operation.trait
        for entry in ordered
        if entry.named
        for operation in entry.operations
        if operation.action in ASSIGNS
    }
    folded = Folded({}, [])
    for entry in ordered:
        for operation in entry.operations:
            known = operation.trait in named
            if not entry.named and known and operation.action in SETTERS:
                continue
            _fold_one(folded, entry.position, operation, named=known)
    return folded


def _fold_one(folded: Folded, position: Position, operation: Operation, *, named: bool) -> None:
    trait, fits = apply(folded.traits.get(operation.trait), position, operation, named=named)
    folded.traits[operation.trait] = trait
    if not fits:
        folded.skipped.append(Skipped(position, operation))


def apply(
    trait: Trait | None, position: Position, operation: Operation, *, named: bool
) -> tuple[Trait, bool]:
    """Apply an operation that comes after all others. Return the trait, and whether it fitted."""
    before = MISSING if trait is None else trait.value
    result = _result(operation, before)
    fits = result is not None
    value = before if result is None else result[0]
    if operation.action in ASSIGNS:
        return Trait(value, position, position, named, _is_summable(value)), fits
    sums = operation.action == "increment" and (trait is None or trait.sums)
    assigned = None if trait is None else trait.assigned
    return Trait(value, position, assigned, named, sums and fits), fits


def absorb(
    trait: Trait | None, position: Position, operation: Operation, *, named: bool
) -> tuple[Trait | None, bool] | None:
    """Return what `fold` makes of the trait with one more operation, at whatever position.

    Returns:
        The trait and whether the operation fitted, or None where only a fold over all
        operations can tell: it arrived late and what came after depends on it.
    """
    speaks = named and operation.action in ASSIGNS
    if trait is None:
        return apply(None, position, operation, named=speaks)
    if not named and trait.named and operation.action in SETTERS:
        return trait, True
    if position >= trait.touched:
        return apply(trait, position, operation, named=trait.named or speaks)
    if speaks and not trait.named:
        return None
    if trait.assigned is not None and position < trait.assigned:
        return trait, True
    if operation.action == "increment" and trait.sums:
        value = _incremented(trait.value, operation.operand)
        return trait._replace(value=value), True
    return None


def values(traits: dict[str, Trait]) -> dict[str, Json]:
    """Return what a reader sees: each trait that has a value, sums rounded once."""
    return {
        name: rounded(trait.value)
        for name, trait in sorted(traits.items())
        if trait.value is not MISSING
    }


def rounded(value: Any) -> Json:
    """Return a value as JSON. A sum is rounded to the nearest double, here and nowhere else."""
    if type(value) is int and abs(value) <= INTEGER_MAX:
        return value
    if type(value) is int or type(value) is Fraction:
        try:
            number = float(value)
        except OverflowError:
            return FLOAT_MAX if value > 0 else -FLOAT_MAX
        whole = number.is_integer() and abs(number) <= INTEGER_MAX
        return int(number) if whole else number
    return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or type(value) is Fraction


def _is_summable(value: Any) -> bool:
    return value is MISSING or _is_number(value)


def _incremented(value: Any, by: Any) -> Any:
    start = 0 if value is MISSING else value
    if type(start) is int and type(by) is int:
        return start + by
    return Fraction(start) + Fraction(by)


def _result(operation: Operation, before: Any) -> tuple[Any] | None:
    """Return the new value in a tuple, or None where the operation does not fit the old one."""
    match operation.action:
        case "set":
            return (operation.operand,)
        case "unset":
            return (MISSING,)
        case "set_once":
            return (operation.operand if before is MISSING else before,)
        case "increment":
            return (_incremented(before, operation.operand),) if _is_summable(before) else None
    if before is not MISSING and type(before) is not list:
        return None
    return (_listed(operation, before),)


def _listed(operation: Operation, before: Any) -> Any:
    items = [] if before is MISSING else before
    match operation.action:
        case "append":
            return [*items, operation.operand][-LIST_ELEMENTS_MAX:]
        case "union":
            return _union(items, operation.operand)
    if before is MISSING:
        return MISSING
    gone = payload.canonical(operation.operand)
    return [item for item in items if payload.canonical(item) != gone]


def _union(items: list[Json], more: list[Json]) -> list[Json]:
    seen = {payload.canonical(item) for item in items}
    result = list(items)
    for item in more:
        text = payload.canonical(item)
        if text not in seen:
            seen.add(text)
            result.append(item)
    return result[-LIST_ELEMENTS_MAX:]
