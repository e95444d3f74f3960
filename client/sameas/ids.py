"""Ids that the client makes: of messages (ordered) and of devices (random).

A message id is a UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 bits that are random at
the first id of a millisecond and count up from there. The service breaks ties of event time
by message id, so ids strictly increase within a process, also as text.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable

_RANDOM_B_BITS = 62
_RANDOM_B_MASK = (1 << _RANDOM_B_BITS) - 1
_VERSION_7 = 7 << 76
_VARIANT_RFC = 2 << 62


class MessageIds:
    """A source of UUIDv7s that strictly increase. Threads may share it.

    If the machine's clock is set back, ids go on counting from the latest millisecond.
    """

    def __init__(
        self,
        time_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._time_ns = time_ns
        self._random_bytes = random_bytes
        self._millis = 0
        self._tail = 0
        self._reseed = False
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Part a forked child's ids from its parent's, which has the same counter.

        The next id takes a new random tail in a later millisecond, so it also stays above
        all ids made before the fork.
        """
        self._lock = threading.Lock()
        self._reseed = True

    def next(self) -> str:
        """Return a new id: 36 characters, lower case, greater than any that this object made."""
        millis = self._time_ns() // 1_000_000
        with self._lock:
            self._step(millis)
            millis, tail = self._millis, self._tail
        return _text(millis, tail)

    def _step(self, millis: int) -> None:
        if millis <= self._millis and not self._reseed:
            self._tail += 1
            return
        self._millis = max(millis, self._millis + 1)
        # 73 random bits of 74: the top one is left free, so that counting up from any of
        # them for a millisecond (or while the clock is set back) cannot overflow.
        self._tail = int.from_bytes(self._random_bytes(10)) >> 7
        self._reseed = False


def _text(millis: int, tail: int) -> str:
    random_a = tail >> _RANDOM_B_BITS
    random_b = tail & _RANDOM_B_MASK
    value = millis << 80 | _VERSION_7 | random_a << 64 | _VARIANT_RFC | random_b
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_MESSAGE_IDS = MessageIds()

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_MESSAGE_IDS.after_fork)


def new_message_id() -> str:
    """Return a new message id: a UUIDv7 of 36 characters, strictly increasing in this process.

    One belongs to one logical call. Repeating the call with the same id is always safe.
    """
    return _MESSAGE_IDS.next()


def new_anonymous_id() -> str:
    """Return a new anonymous id: 36 random characters (a UUIDv4) that say nothing of anyone."""
    return str(uuid.uuid4())
