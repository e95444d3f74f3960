"""JSON objects that messages carry: checked, and brought to one canonical text.

Two texts are the same content exactly if their canonical texts are equal: keys sorted, no
white space, and numbers as RFC 8785 has them (1.0 is 1, -0 is 0; a text is not a number and
`true` is not 1). Keys are sorted by code point, which every reader here agrees on.
"""

import json
import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import orjson

from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.limits import (
    INTEGER_MAX,
    PAYLOAD_BYTES_MAX,
    PAYLOAD_DEPTH_MAX,
    PAYLOAD_TEXT_BYTES_MAX,
)

Json = Any
"""What JSON can say: None, bool, int, float, str, and lists and dicts of them."""

EMPTY = "{}"

CACHED_CHARACTERS_MAX = 512
"""Longer texts are not cached: the cache must stay small."""


def canonical(value: Json) -> str:
    """Return the canonical text of a normalised value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def parse(text: str) -> Json:
    """Return the value of a canonical text."""
    return orjson.loads(text)


def cached_if_short(check: Callable[[str, str], str]) -> Callable[[str, str], str]:
    """Return the same check of a text for a field, cached for short texts: a service sends the
    same context, many equal properties, and adds one to the same count again and again.
    """
    cached = lru_cache(maxsize=8_192)(check)

    @wraps(check)
    def checked(text: str, field: str) -> str:
        return (cached if len(text) <= CACHED_CHARACTERS_MAX else check)(text, field)

    return checked


@cached_if_short
def checked_text(text: str, field: str) -> str:
    """Return the canonical text of an object given as JSON text; `{}` for an empty text.

    Raises:
        Refused: `JSON_INVALID`, `PAYLOAD_TOO_LARGE`, `PAYLOAD_TOO_DEEP`,
            `NUMBER_NOT_FINITE` or `INTEGER_TOO_LARGE`, naming the field.
    """
    return checked_object(load(text, field), field) if text else EMPTY


def checked_object(value: Json, field: str) -> str:
    """Return the canonical text of an object given as a value."""
    if type(value) is not dict:
        raise Refused(Reason.JSON_INVALID, f"{field} must be a JSON object", field=field)
    text = canonical(normalised(value, field))
    if len(text) * 4 > PAYLOAD_BYTES_MAX and len(text.encode()) > PAYLOAD_BYTES_MAX:
        raise too_large(field)
    return text


def load(text: str, field: str) -> Json:
    """Return the value of a JSON text from outside."""
    if len(text) > PAYLOAD_TEXT_BYTES_MAX:
        raise too_large(field)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _not_json(text, field) from None


def normalised(value: Json, field: str, depth: int = 1) -> Json:
    """Return the value with each number in its one form, checked for depth and range.

    Containers are changed in place: the caller owns what it parsed.
    """
    kind = type(value)
    if kind is dict or kind is list:
        if depth > PAYLOAD_DEPTH_MAX:
            raise too_deep(field)
        for key, item in value.items() if kind is dict else enumerate(value):
            if type(item) not in _PLAIN:
                value[key] = normalised(item, field, depth + 1)
    elif kind is float:
        return _number(value, field)
    elif kind is int and not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise _integer_too_large(field)
    return value


_PLAIN = frozenset([str, bool, type(None)])


def _number(value: float, field: str) -> int | float:
    if not math.isfinite(value):
        raise Refused(Reason.NUMBER_NOT_FINITE, f"{field} has NaN or an infinity", field=field)
    if not value.is_integer():
        return value
    if abs(value) > INTEGER_MAX:
        raise _integer_too_large(field)
    return int(value)


def _not_json(text: str, field: str) -> Refused:
    """Return what is wrong with a text that orjson refused."""
    infinite = False

    def note(number: str) -> None:
        nonlocal infinite
        infinite = infinite or not math.isfinite(float(number))

    try:
        # The standard module reads more: NaN, numbers beyond a double, half surrogate pairs.
        value = json.loads(text, parse_constant=note, parse_float=note, parse_int=note)
        normalised(value, field)
    except RecursionError:
        return too_deep(field)
    except Refused as refused:
        return refused
    except ValueError:
        infinite = False
    if infinite:
        return Refused(Reason.NUMBER_NOT_FINITE, f"{field} has NaN or an infinity", field=field)
    return Refused(Reason.JSON_INVALID, f"{field} is not JSON", field=field)


def too_large(field: str) -> Refused:
    """Return the refusal of more than 32 KiB."""
    return Refused(
        Reason.PAYLOAD_TOO_LARGE,
        f"{field} has more than {PAYLOAD_BYTES_MAX} bytes as JSON",
        field=field,
        metadata={"max_bytes": str(PAYLOAD_BYTES_MAX)},
    )


def too_deep(field: str) -> Refused:
    """Return the refusal of more than 16 levels."""
    return Refused(
        Reason.PAYLOAD_TOO_DEEP,
        f"{field} is nested deeper than {PAYLOAD_DEPTH_MAX}",
        field=field,
        metadata={"max_depth": str(PAYLOAD_DEPTH_MAX)},
    )


def _integer_too_large(field: str) -> Refused:
    return Refused(
        Reason.INTEGER_TOO_LARGE,
        f"{field} has a whole number beyond 2^53, which readers of JSON round",
        field=field,
    )
