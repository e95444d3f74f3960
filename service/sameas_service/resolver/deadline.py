"""How long a caller waits, and what it is told when that was too long."""

import math
from typing import NamedTuple

from sameas_service.domain.errors import Reason, Refused

WRITER = "writer"
"""The queue of all that writes."""


class Deadline(NamedTuple):
    """How long a caller waits for an answer, and whether it waits for room in a queue.

    Attributes:
        until: when the caller stops waiting, by `time.monotonic`; work that has not begun by
            then is not begun.
        is_bulk: whether the caller waits for room instead of being refused, as a stream does:
            its sender is slowed down by not being read from.
    """

    until: float = math.inf
    is_bulk: bool = False


NONE = Deadline()
"""Of a caller that waits for ever, and can be refused."""


class QueueFull(Refused):
    """A queue has no room; nothing was begun, and the caller should come again.

    Attributes:
        queue: which one.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(
            Reason.OVERLOADED,
            "too many calls wait; nothing of this one was done, try again a little later",
            metadata={"queue": queue},
        )
        self.queue = queue


def passed() -> Refused:
    """Return the answer to a call with a deadline that passed before its turn came."""
    return Refused(
        Reason.DEADLINE_PASSED, "the call's deadline passed while it waited; nothing of it was done"
    )
