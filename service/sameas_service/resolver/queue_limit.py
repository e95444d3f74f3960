"""Admission to a queue: bound how much may wait in it, and for how long."""

import threading
import time
from collections.abc import Callable

from sameas_service.resolver.deadline import QueueFull

WAITING_SECONDS_MAX = 1.0
"""Once the first in a queue waits this long, no other is let in: calls come faster than they
are done. A fifth of the deadline that a caller has by default."""

WAITING_GROUPS_MAX = 32
"""And no more is let in than so many full groups."""


class QueueLimit:
    """The weight that waits in one queue, counted by those who enter and the thread that takes."""

    def __init__(
        self, queue: str, group_weight: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin empty. A full group weighs `group_weight`; `clock` returns seconds."""
        self._queue = queue
        self._group_weight = group_weight
        self._clock = clock
        self._lock = threading.Lock()
        self._weight = 0
        self._first_came = 0.0

    @property
    def has_a_full_group(self) -> bool:
        """Whether there is enough for the next group already, so that bulk can wait outside."""
        return self._weight >= self._group_weight

    def enter(self, weight: int, *, bounded: bool = True) -> None:
        """Count a caller in.

        Raises:
            QueueFull: there is no room; not for those who are not bounded.
        """
        now = self._clock()
        with self._lock:
            if not self._weight:
                self._first_came = now
            elif bounded and self._is_full(weight, now):
                raise QueueFull(self._queue)
            self._weight += weight

    def leave(self, weight: int, next_came: float | None) -> None:
        """Count a group out; who is first now came no earlier than `next_came`, or just now."""
        with self._lock:
            self._weight -= weight
            self._first_came = self._clock() if next_came is None else next_came

    def _is_full(self, weight: int, now: float) -> bool:
        return (
            now - self._first_came > WAITING_SECONDS_MAX
            or self._weight + weight > self._group_weight * WAITING_GROUPS_MAX
        )
