"""What changes about who is who."""

from enum import IntEnum
from typing import NamedTuple


class ChangeKind(IntEnum):
    """What happened to an id. The numbers are those of `ChangeKind` in the protos, and stored."""

    CREATED = 1
    JOINED = 2
    SPLIT = 3
    SWITCHED = 4
    PAST = 5
    GONE = 6


class Change(NamedTuple):
    """An id, and the person that it belongs to from here.

    Attributes:
        kind: what happened.
        is_user: whether the id is a user id, or else an anonymous id.
        name: the id.
        person_id: its person now; empty if it is gone.
        former: its person before; empty if it had none.
    """

    kind: ChangeKind
    is_user: bool
    name: str
    person_id: str
    former: str


class LoggedChange(NamedTuple):
    """A change with its place in the log, and the message that caused it."""

    cursor: int
    message_id: str
    change: Change
