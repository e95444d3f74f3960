"""Profiles as text, the form in which a store keeps the fold over a person's operations."""

from fractions import Fraction
from typing import Any

import orjson

from sameas_service.domain.message import Position
from sameas_service.domain.payload import Json
from sameas_service.domain.profile import MISSING, Trait, rounded

_JSON, _MISSING, _SUM = 0, 1, 2


def encode(traits: dict[str, Trait]) -> str:
    """Return a profile as text. Fractions and missing values are marked: JSON has neither."""
    return orjson.dumps({name: _cells(trait) for name, trait in traits.items()}).decode()


def decode(text: str) -> dict[str, Trait]:
    """Return a profile from its text."""
    return {name: _trait(cells) for name, cells in orjson.loads(text).items()}


def values(text: str) -> dict[str, Json]:
    """Return what a reader sees: each trait that has a value, sums rounded once."""
    return {
        name: rounded(Fraction(value)) if form == _SUM else value
        for name, (form, value, *_) in sorted(orjson.loads(text).items())
        if form != _MISSING
    }


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
