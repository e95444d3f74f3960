"""Operations by person, folded into profiles.

A row of operations is a person's key, the message's position, whether it names a user, its kind
and its payload. The key of a person with user ids is 0, the canonical user, 0 and ""; that of an
anonymous one is 1, the device, and where the segment starts.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from sameas_service.domain import person_ids, profile
from sameas_service.domain.message import START, Position
from sameas_service.domain.operations import parse_operations
from sameas_service.resolver.maintain.external_sort import Row
from sameas_service.resolver.maintain.pairs import KINDS, Pairs
from sameas_service.resolver.profile_codec import encode

_KEY = itemgetter(0, 1, 2, 3)
_START = itemgetter(0, 1, 2)
"""Of a row of the table `span`: the device, and where it starts."""


def user_key(pairs: Pairs, user: int) -> Row:
    """Return the key of a user's person."""
    return 0, pairs.canonical.get(user, user), 0, ""


def attributed(visitors: Iterable[Row], spans: Iterable[Row], pairs: Pairs) -> Iterator[Row]:
    """Yield the operations of visitors as those of the persons that own their places.

    Args:
        visitors: device, position, kind and payload, in order.
        spans: rows of the table `span`, in order.
        pairs: says who is one person.
    """
    rest = iter(spans)
    span, following = None, next(rest, None)
    for device, at, message_id, kind, payload in visitors:
        place = (device, at, message_id)
        while following is not None and _START(following) <= place:
            span, following = following, next(rest, None)
        yield *_holder(device, span, pairs), at, message_id, False, kind, payload


def _holder(device: int, span: Row | None, pairs: Pairs) -> Row:
    """Return the key of the person that owns the last span that starts before a place."""
    if span is None or span[0] != device:
        return 1, device, *START
    _, start_at, start_id, owner, *_ = span
    return (1, device, start_at, start_id) if owner is None else user_key(pairs, owner)


def folded(
    operations: Iterable[Row],
    workspace: str,
    users: Iterator[tuple[int, str]],
    devices: Iterator[tuple[int, str]],
) -> Iterator[tuple[str, str]]:
    """Yield person ids and profiles as text. Names are given in order of surrogate."""
    names = (users, devices)
    known = [(-1, ""), (-1, "")]
    for (is_segment, surrogate, *start), rows in groupby(operations, _KEY):
        while known[is_segment][0] < surrogate:
            known[is_segment] = next(names[is_segment], (surrogate + 1, ""))
        number, name = known[is_segment]
        traits = profile.fold(map(_entry, rows)).traits
        if traits and number == surrogate:
            yield _person_id(workspace, name, start if is_segment else None), encode(traits)


def _person_id(workspace: str, name: str, start: Iterable[Any] | None) -> str:
    if start is None:
        return person_ids.of_user(workspace, name)
    return person_ids.of_segment(workspace, name, Position(*start))


def _entry(row: Row) -> profile.Entry:
    _, _, _, _, at, message_id, named, kind, payload = row
    return profile.Entry(Position(at, message_id), named, parse_operations(KINDS[kind], payload))
