"""Admission control: bound the calls and bytes under way, and refuse passed deadlines.

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
stops for a moment does not leave a long queue."""

BYTES_MAX = 32 * 1024 * 1024
"""Their requests together: eight batches of the largest size. Parsed they are some five times
as large."""

SHUT_SECONDS = 0.1
"""How long calls are refused unread, once the queue of writes had no room for one."""

PUSHBACK_SECONDS = (0.5, 1.5)
"""When to try again: drawn from this range, so that those refused together do not return
together. About as long as a full queue takes to empty."""

PUSHBACK = "grpc-retry-pushback-ms"

_STEP_MILLISECONDS = 50

Trailers = tuple[tuple[str, str | bytes], ...]


class Admission:
    """The calls of one service that are under way, and whether there is room for more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no calls; `clock` returns seconds."""
        self._clock = clock
        self._calls = 0
        self._bytes = 0
        self._shut_until = 0.0

    def has_room(self, size: int) -> bool:
        """Return whether a request of so many bytes is let in now."""
        return (
            self._calls < CALLS_MAX
            and self._bytes + size <= BYTES_MAX
            and self._clock() >= self._shut_until
        )

    def enter(self, size: int) -> None:
        """Count a call in, with a request of so many bytes."""
        self._calls += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """Count it out."""
        self._calls -= 1
        self._bytes -= size

    def learn(self, error: Exception) -> None:
        """Note how a call ended: where its write found no room, the next ones find none."""
        if isinstance(error, QueueFull) and error.queue == WRITER:
            self._shut_until = self._clock() + SHUT_SECONDS


def end_of(seconds: float | None) -> float:
    """Return when a caller with so many seconds left stops waiting, by `time.monotonic`.

    Raises:
        Refused: no time is left.
    """
    if seconds is None:
        return math.inf
    if seconds <= 0:
        raise passed()
    return time.monotonic() + seconds


def trailers_of(refused: Refused) -> Trailers:
    """Return what goes with the status: the details, and when to try again."""
    if isinstance(refused, QueueFull):
        first, last = (int(seconds * 1e3) for seconds in PUSHBACK_SECONDS)
        return _pushed_back(refused.queue, random.randrange(first, last, _STEP_MILLISECONDS))  # noqa: S311
    return ((DETAILS, details_of(refused)),)


@cache
def _pushed_back(queue: str, milliseconds: int) -> Trailers:
    """Return the trailers for one queue and one of the few delays; made once."""
    status = status_pb2.Status.FromString(details_of(QueueFull(queue)))
    delay = Duration()
    delay.FromMilliseconds(milliseconds)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status.details.append(packed)
    return ((PUSHBACK, str(milliseconds)), (DETAILS, status.SerializeToString()))
