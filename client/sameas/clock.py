"""The client's clock: microseconds that strictly increase within the process.

The service orders messages by event time. Two calls made one after the other must therefore
never carry the same time, nor change places when the machine's clock is set back; so all
calls of a process, and the `sent_at` of its requests, are stamped by one clock.
"""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """A wall clock that never repeats and never steps back. Threads may share it.

    While the machine's clock is not past the last reading (it was set back, or two calls
    fell on one microsecond), each reading is the last one plus one microsecond.
    """

    def __init__(self, time_ns: Callable[[], int] = time.time_ns) -> None:
        self._time_ns = time_ns
        self._last = 0
        self.unlock()

    def unlock(self) -> None:
        """Make a new lock: after a fork the old one may be held by a thread that is gone."""
        self._lock = threading.Lock()

    def micros(self) -> int:
        """Return the time now, in microseconds since 1970 (UTC), later than any returned before."""
        now = self._time_ns() // 1_000
        with self._lock:
            if now <= self._last:
                now = self._last + 1
            self._last = now
            return now

    def now(self) -> datetime:
        """Return the same as an aware datetime in UTC. Nothing is lost: both count microseconds."""
        return from_micros(self.micros())


def to_micros(value: datetime) -> int:
    """Return an aware datetime in microseconds since 1970, exactly (no floating point).

    Raises:
        ValueError: If the datetime is naive, since it then names no moment.
    """
    if value.utcoffset() is None:
        raise ValueError("a naive datetime names no moment: give it a time zone")
    since = value - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(micros: int) -> datetime:
    """Return the aware datetime (UTC) of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


CLOCK = Clock()
"""The process's clock."""

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=CLOCK.unlock)
