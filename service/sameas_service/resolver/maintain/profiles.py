"""Operations by person, folded into profiles.

A row of operations is a person's key, the message's position, whether it names a user, its kind
and its payload. The key of a person with user ids is 0, the canonical user, 0 and ""; that of an
anonymous one is 1, the device, and where the segment starts.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

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


class Names:
    """The names of surrogates, to be asked for in order."""

    def __init__(self, names: Iterator[tuple[int, str]]) -> None:
        """Begin with the surrogates and names that there are, in order."""
        self._names = names
        self._next = next(names, None)

    def of(self, surrogate: int) -> str | None:
        """Return a name; None where there is none."""
        while self._next is not None and self._next[0] < surrogate:
            self._next = next(self._names, None)
        return self._next[1] if self._next is not None and self._next[0] == surrogate else None


def folded(
    operations: Iterable[Row], workspace: str, users: Names, devices: Names
) -> Iterator[tuple[str, str]]:
    """Yield person ids and profiles as text, given operations in order."""
    for (is_segment, surrogate, *start), rows in groupby(operations, _KEY):
        traits = profile.fold(map(_entry, rows)).traits
        name = (devices if is_segment else users).of(surrogate)
        if not traits or name is None:
            continue
        if is_segment:
            person_id = person_ids.of_segment(workspace, name, Position(*start))
        else:
            person_id = person_ids.of_user(workspace, name)
        yield person_id, encode(traits)


def _entry(row: Row) -> profile.Entry:
    _, _, _, _, at, message_id, named, kind, payload = row
    return profile.Entry(Position(at, message_id), named, parse_operations(KINDS[kind], payload))
