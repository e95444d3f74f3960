"""What a store must know of a caller to let it wait: for how long the answer is of use, and
whether there is somebody to be told to come again later.

Both belong to the task that calls, and to those that it starts. A caller who says nothing
waits for ever and can be refused.
"""

import math
from contextvars import ContextVar

from sameas_service.domain.errors import Reason, Refused

until: ContextVar[float] = ContextVar("until", default=math.inf)
"""When the caller stops waiting, by `time.monotonic`: work not begun by then is not begun."""

patient: ContextVar[bool] = ContextVar("patient", default=False)
"""Whether the caller waits for room instead of being refused, as a stream does, whose sender
hears of a full queue by not being read from."""

WRITER = "writer"
"""The queue of all that writes."""


class QueueFull(Refused):
    """There is no room to wait in; nothing was begun, and the caller should come again.

    Attributes:
        queue: which one has no room.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(
            Reason.OVERLOADED,
            "too many calls wait; nothing of this one was done, try again a little later",
            metadata={"queue": queue},
        )
        self.queue = queue


def expired() -> Refused:
    """The answer to a call whose time was over before its turn came; hardly anybody hears it."""
    return Refused(
        Reason.OVERLOADED, "the call's deadline passed while it waited; nothing of it was done"
    )
