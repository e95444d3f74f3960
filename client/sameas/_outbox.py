"""The bounded queue between the callers of a buffer and the threads that send."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from sameas._calls import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from sameas.errors import BufferFull


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferOptions:
    """The bounds of a buffer."""

    queue_messages_max: int = 10_000
    """Messages without an answer yet, waiting or on their way. Beyond that calls block."""
    queue_bytes_max: int = 64 * 1024 * 1024
    """The same in bytes."""
    batch_messages: int = 500
    """A batch goes out as soon as so many messages wait. Under load batches grow, up to the
    service's 2,500 messages and 4 MiB."""
    senders: int = 2
    """Batches on their way at once. Two keep the server busy while an answer is read. They
    may overtake each other, which changes nothing: order is by time, not by arrival."""
    interval_seconds: float = 0.5
    """A batch goes out at the latest so long after its first message."""
    block_seconds: float = 5.0
    """How long a call may wait for room before it raises `BufferFull`."""
    attempt_seconds: float = 10.0
    """Deadline of one attempt to send a batch."""
    retry_seconds: float = 120.0
    """How long a batch is tried again before it is reported as undelivered."""
    close_seconds: float = 10.0
    """How long `close` may take, also at the interpreter's exit."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_messages <= BATCH_MESSAGES_MAX:
            raise ValueError(f"batch_messages must be 1 to {BATCH_MESSAGES_MAX:,}")
        if not 1 <= self.senders <= 8:
            raise ValueError("senders must be 1 to 8")
        if self.queue_messages_max < self.batch_messages:
            raise ValueError("queue_messages_max must be batch_messages or more")
        if self.queue_bytes_max < BATCH_BYTES_MAX:
            raise ValueError(f"queue_bytes_max must be {BATCH_BYTES_MAX:,} or more")


class Entry(NamedTuple):
    """A queued message: its id, and its bytes in a batch, which are final."""

    message_id: str
    body: bytes


class Batch(NamedTuple):
    """Messages taken together. `start` counts those that were taken before."""

    start: int
    entries: list[Entry]


class Outbox:
    """A queue, first in, first out. Many threads put, some take and settle, in any order.

    A message counts against the bounds until it is settled, so that a batch on its way does
    not make room for another of the same size.
    """

    def __init__(self, options: BufferOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._entries: deque[Entry] = deque()
        self._put_count = 0
        self._taken_count = 0
        self._settled_count = 0
        self._in_flight: dict[int, int] = {}
        self._bytes = 0
        self._flush_up_to = 0
        self._due = 0.0
        self._closed = False

    def put(self, entry: Entry, block_seconds: float) -> None:
        """Queue a message. Wait for room up to `block_seconds`.

        Raises:
            BufferFull: If there was no room in time.
            RuntimeError: If the outbox is closed.
        """
        with self._lock:
            if not self._has_room(entry):
                self._wait_for_room(entry, block_seconds)
            if self._closed:
                raise RuntimeError("the buffer is closed")
            if not self._entries:
                self._due = time.monotonic() + self._options.interval_seconds
            self._entries.append(entry)
            self._put_count += 1
            self._bytes += len(entry.body)
            # A taker has something to do only when its waiting starts or ends; to wake it
            # for each message would cost more than queueing the message.
            if len(self._entries) in (1, self._options.batch_messages):
                self._filled.notify()

    def take(self) -> Batch | None:
        """Wait until a batch is due, and take it; None once closed and drained."""
        with self._lock:
            while not self._is_due():
                left = self._due - time.monotonic() if self._entries else None
                self._filled.wait(left)
            if not self._entries:
                return None
            batch = Batch(self._taken_count, self._pop_entries())
            self._in_flight[batch.start] = len(batch.entries)
            self._taken_count += len(batch.entries)
            if self._entries:
                self._filled.notify()
            return batch

    def settle(self, batch: Batch) -> None:
        """Note that a batch has its answer."""
        with self._lock:
            del self._in_flight[batch.start]
            self._settled_count += len(batch.entries)
            self._bytes -= sum(len(entry.body) for entry in batch.entries)
            self._settled.notify_all()

    def wait(self, timeout: float | None) -> int:
        """Wait until all that was put before is settled. Return how many are not yet."""
        with self._lock:
            up_to = self._flush_up_to = self._put_count
            self._filled.notify_all()
            self._settled.wait_for(lambda: self._pending(up_to) == 0, timeout)
            return self._pending(up_to)

    def close(self) -> None:
        """Take no more messages; what waits is due at once. Closing twice is no error."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._settled.notify_all()

    def _has_room(self, entry: Entry) -> bool:
        return (
            self._put_count - self._settled_count < self._options.queue_messages_max
            and self._bytes + len(entry.body) <= self._options.queue_bytes_max
        )

    def _wait_for_room(self, entry: Entry, block_seconds: float) -> None:
        self._flush_up_to = self._put_count
        self._filled.notify_all()
        if not self._settled.wait_for(lambda: self._closed or self._has_room(entry), block_seconds):
            raise BufferFull(
                f"no room for another message within {block_seconds:g} s",
                reason="BUFFER_FULL",
                metadata={"message_id": entry.message_id},
            )

    def _pending(self, up_to: int) -> int:
        """Return how many of the first `up_to` messages have no answer yet."""
        in_flight = sum(
            min(count, max(0, up_to - start)) for start, count in self._in_flight.items()
        )
        return max(0, up_to - self._taken_count) + in_flight

    def _is_due(self) -> bool:
        if not self._entries:
            return self._closed
        return (
            self._closed
            or len(self._entries) >= self._options.batch_messages
            or self._taken_count < self._flush_up_to
            or time.monotonic() >= self._due
        )

    def _pop_entries(self) -> list[Entry]:
        entries: list[Entry] = []
        room = BATCH_BYTES_MAX - _ENVELOPE_BYTES
        while self._entries and len(entries) < BATCH_MESSAGES_MAX:
            room -= len(self._entries[0].body)
            if room < 0 and entries:
                break
            entries.append(self._entries.popleft())
        return entries


_ENVELOPE_BYTES = 64
"""What a batch has besides its items (`sent_at`), with room to spare."""
ENTRY_BYTES_MAX = BATCH_BYTES_MAX - _ENVELOPE_BYTES
"""A message larger than this fits no batch."""
