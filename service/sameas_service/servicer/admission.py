"""Which calls are let in: as many as there is room for, and none whose time is over.

What is refused here was received and not read: its bytes were not even parsed. A refusal
in Python costs two thirds of a `Track` all the same (190 of 280 microseconds, measured: the
transport's part), so floods of small calls are shed by gRPC's core (see `server.options`). These
bounds are for what the core cannot see: large batches, and a disk that is slow.
"""

import math
import random
import time
from collections.abc import Callable
from functools import cache

from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from sameas_service.domain.errors import Refused
from sameas_service.resolver.deadline import WRITER, QueueFull, passed
from sameas_service.servicer.refusals import DETAILS, details_of

CALLS_MAX = 1_024
"""Unary calls of one service under way at once: a third of a second's work, so that a disk that
stops for a moment leaves no long queue behind."""

BYTES_MAX = 32 * 1024 * 1024
"""Their requests together: eight batches of the largest size. Parsed they are some five times
as large."""

SHUT_SECONDS = 0.1
"""After the queue of writes had no room for one, how long the next are refused unread."""

PUSHBACK_SECONDS = (0.5, 1.5)
"""When to come again: drawn from this range, so that those refused together do not return
together. About as long as a queue that is full takes to empty."""

PUSHBACK = "grpc-retry-pushback-ms"

_STEP_MILLISECONDS = 50

Trailers = tuple[tuple[str, str | bytes], ...]


class Admission:
    """What of one service is under way, and whether there is room for more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """The clock gives seconds."""
        self._clock = clock
        self._calls = 0
        self._bytes = 0
        self._shut_until = 0.0

    def has_room(self, size: int) -> bool:
        """Whether a request of so many bytes is let in now."""
        return (
            self._calls < CALLS_MAX
            and self._bytes + size <= BYTES_MAX
            and self._clock() >= self._shut_until
        )

    def enter(self, size: int) -> None:
        """Counts a call in, whose request has so many bytes."""
        self._calls += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """Counts it out."""
        self._calls -= 1
        self._bytes -= size

    def learn(self, error: Exception) -> None:
        """Takes note of how a call ended: no room for its write, none for the next ones."""
        if isinstance(error, QueueFull) and error.queue == WRITER:
            self._shut_until = self._clock() + SHUT_SECONDS


def end_of(seconds: float | None) -> float:
    """When a caller stops waiting who has so many seconds left, by `time.monotonic`.

    Raises:
        Refused: it is over already.
    """
    if seconds is None:
        return math.inf
    if seconds <= 0:
        raise passed()
    return time.monotonic() + seconds


def trailers_of(refused: Refused) -> Trailers:
    """Return what goes with the status: the details, and when to come again."""
    if isinstance(refused, QueueFull):
        first, last = (int(seconds * 1e3) for seconds in PUSHBACK_SECONDS)
        return _pushed_back(refused.queue, random.randrange(first, last, _STEP_MILLISECONDS))  # noqa: S311
    return ((DETAILS, details_of(refused)),)


@cache
def _pushed_back(queue: str, milliseconds: int) -> Trailers:
    """The trailers for one queue and one of the few delays; made once."""
    status = status_pb2.Status.FromString(details_of(QueueFull(queue)))
    delay = Duration()
    delay.FromMilliseconds(milliseconds)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status.details.append(packed)
    return ((PUSHBACK, str(milliseconds)), (DETAILS, status.SerializeToString()))
