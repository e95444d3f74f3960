"""Ids of messages that came without one: UUIDv7s (RFC 9562) that strictly increase."""

import os
import threading

_RANDOM_BYTES = 8
_VERSION = 7 << 76
_VARIANT = 2 << 62
_VARIANT_BITS = 62


class MessageIds:
    """A source of ids, made from the time of receipt. Threads may share it.

    An id is 48 bits of milliseconds, 12 bits of the fraction of the millisecond, and 62 random
    bits. Where the clock did not move on, the next id counts on from the last one.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self, microseconds: int) -> str:
        """Return a new id for a time in microseconds since 1970: 36 characters, lower case."""
        millis, rest = divmod(microseconds, 1_000)
        random = int.from_bytes(os.urandom(_RANDOM_BYTES)) >> 2
        ordered = ((millis << 12 | rest * 4096 // 1000) << _VARIANT_BITS) | random
        with self._lock:
            ordered = self._last = max(ordered, self._last + 1)
        return _text(ordered)


def _text(ordered: int) -> str:
    """Return the 122 bits of an id as text, with version and variant between them."""
    high, low = ordered >> _VARIANT_BITS, ordered & ((1 << _VARIANT_BITS) - 1)
    value = (high >> 12) << 80 | _VERSION | (high & 0xFFF) << 64 | _VARIANT | low
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_MESSAGE_IDS = MessageIds()


def new_message_id(microseconds: int) -> str:
    """Return a new message id for a time of receipt."""
    return _MESSAGE_IDS.next(microseconds)
