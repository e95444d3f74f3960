"""What the service answers about an accepted message."""

from enum import IntEnum
from typing import NamedTuple

from sameas_service.domain.warnings import CallWarning


class Outcome(IntEnum):
    """What a message did. The numbers are those of `Outcome` in the protos, and stored."""

    CREATED = 1
    LINKED = 2
    UNCHANGED = 3
    SWITCHED = 4
    RESET = 5
    SPLIT = 6


class Receipt(NamedTuple):
    """What became of one message; it is on disk when the caller sees this."""

    message_id: str
    outcome: Outcome
    person_id: str
    absorbed: tuple[str, ...] = ()
    duplicate: bool = False
    warnings: tuple[CallWarning, ...] = ()
