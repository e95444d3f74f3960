"""What a call would change."""

from collections.abc import Sequence
from typing import NamedTuple

from sameas_service.domain.changes import Change
from sameas_service.domain.payload import Json
from sameas_service.domain.receipt import Receipt


class Moved(NamedTuple):
    """How many messages go from one person to another; an id is empty for no person."""

    former: str
    person_id: str
    messages: int


class TraitChange(NamedTuple):
    """A trait of a person that gets another value. Values are in tuples: an empty one for none."""

    person_id: str
    trait: str
    former: tuple[Json, ...]
    value: tuple[Json, ...]


class Preview(NamedTuple):
    """What a message would do, or did: the receipt, and all that changes."""

    receipt: Receipt
    changes: Sequence[Change] = ()
    moved: Sequence[Moved] = ()
    traits: Sequence[TraitChange] = ()
