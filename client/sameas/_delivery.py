"""Delivery of a buffer's batches, and the count of what became of them."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from sameas import _answers, errors, v1
from sameas._framing import item_of
from sameas._outbox import BufferOptions, Entry
from sameas.values import CallWarning, FlushReport, Refusal, Undelivered

if TYPE_CHECKING:
    from sameas.client import Client

OnError = Callable[[Sequence[Refusal | Undelivered]], None]
"""Called with the failures of each batch, in the thread that sent it, which waits: so it must not
flush or close the buffer. With several senders it may be called by two threads at once."""

REPORT_ITEMS_MAX = 10_000
"""Of each list of a report, so that a buffer that is never flushed does not grow."""

_PAUSE_SECONDS_FIRST = 0.2
_PAUSE_SECONDS_MAX = 10.0
# A message id counts once, so a batch of unknown outcome may be sent again as it is.
# CANCELLED is the answer of a server's gRPC core that sheds load.
_TRANSIENT = (
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.ResourceExhausted,
    errors.Cancelled,
)
_LOG = logging.getLogger("sameas")
ItemT = TypeVar("ItemT")


class Delivery:
    """The sender of batches, from any thread, each until it is answered or its time is over."""

    def __init__(self, client: "Client", options: BufferOptions, on_error: OnError | None) -> None:
        self._client = client
        self._options = options
        self._on_error = on_error or _log
        self._tally = Tally()
        self._stopping = threading.Event()
        self._stop_at = float("inf")

    def stop(self, seconds: float) -> None:
        """End each pause at once from now on, and give up on everything after `seconds`."""
        self._stop_at = time.monotonic() + seconds
        self._stopping.set()

    def report(self, pending: int) -> FlushReport:
        """Return what became of all batches since the report before."""
        return self._tally.report(pending)

    def deliver(self, batch: list[Entry]) -> None:
        """Send a batch. Never raises: what cannot be delivered is reported."""
        try:
            failures: Sequence[Refusal | Undelivered] = self._count(batch, self._send(batch))
        except errors.SameasError as error:
            failures = self._give_up(batch, error)
        except Exception as error:  # noqa: BLE001 - the thread outlives any fault, or all is lost
            fault = errors.ServerFault(f"{type(error).__name__}: {error}")
            fault.__cause__ = error
            failures = self._give_up(batch, fault)
        if failures:
            self._tell(failures)

    def _send(self, batch: list[Entry]) -> v1.IngestResponse:
        """Return the answer to a batch, after as many attempts as its time allows.

        gRPC's own retries end with one attempt's deadline. This loop is for outages that
        last longer, which a buffer is there to outlast.
        """
        request = v1.IngestRequest.FromString(b"".join([entry.body for entry in batch]))
        give_up_at = time.monotonic() + self._options.retry_seconds
        for attempt in count():
            try:
                return self._attempt(request)
            except _TRANSIENT as error:
                pause = max(_pause_seconds(attempt), error.retry_seconds or 0.0)
                if time.monotonic() + pause >= min(give_up_at, self._stop_at):
                    raise
                self._sleep(pause)
        raise AssertionError("unreachable: count() does not end")

    def _attempt(self, request: v1.IngestRequest) -> v1.IngestResponse:
        left = self._stop_at - time.monotonic()
        if left <= 0:
            raise errors.Unavailable("the buffer was closed before the batch could be sent")
        seconds = min(self._options.attempt_seconds, left)
        response = self._client.ingest_batch(request, timeout=seconds)
        _answers.check_count(len(request.items), response)
        return response

    def _sleep(self, seconds: float) -> None:
        """Pause; `stop` ends a pause under way, so that closing tries once more at once."""
        if self._stopping.is_set():
            time.sleep(seconds)
        else:
            self._stopping.wait(seconds)

    def _count(self, batch: list[Entry], response: v1.IngestResponse) -> list[Refusal]:
        refused: list[Refusal] = []
        warnings: list[tuple[str, CallWarning]] = []
        duplicates = 0
        for entry, result in zip(batch, response.results, strict=True):
            if not result.HasField("receipt"):
                refused.append(_answers.refusal(entry.message_id, result.error))
                continue
            receipt = result.receipt
            duplicates += receipt.duplicate
            # Nearly none has any, and to ask costs less than to make an iterator.
            if receipt.warnings:
                warnings += [
                    (entry.message_id, _answers.warning(warning)) for warning in receipt.warnings
                ]
        self._tally.add_answers(len(batch), duplicates, refused, warnings)
        return refused

    def _give_up(self, batch: list[Entry], error: errors.SameasError) -> list[Undelivered]:
        undelivered = [Undelivered(entry.message_id, item_of(entry.body), error) for entry in batch]
        self._tally.add_undelivered(undelivered)
        return undelivered

    def _tell(self, failures: Sequence[Refusal | Undelivered]) -> None:
        try:
            self._on_error(failures)
        except Exception:  # noqa: BLE001 - theirs, and the thread must outlive it
            _LOG.exception("the buffer's on_error failed")


class Tally:
    """What became of messages since the last report. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def add_answers(
        self,
        answered: int,
        duplicates: int,
        refused: list[Refusal],
        warnings: list[tuple[str, CallWarning]],
    ) -> None:
        """Count a batch that was answered."""
        with self._lock:
            self._accepted += answered - duplicates - len(refused)
            self._duplicates += duplicates
            self._extend(self._refused, refused)
            self._extend(self._warnings, warnings)

    def add_undelivered(self, undelivered: list[Undelivered]) -> None:
        """Count a batch that was not."""
        with self._lock:
            self._extend(self._undelivered, undelivered)

    def report(self, pending: int) -> FlushReport:
        """Return all since the last report, and start anew."""
        with self._lock:
            report = FlushReport(
                accepted=self._accepted,
                duplicates=self._duplicates,
                refused=tuple(self._refused),
                undelivered=tuple(self._undelivered),
                warnings=tuple(self._warnings),
                omitted=self._omitted,
                pending=pending,
            )
            self._clear()
            return report

    def _clear(self) -> None:
        self._accepted = self._duplicates = self._omitted = 0
        self._refused: list[Refusal] = []
        self._undelivered: list[Undelivered] = []
        self._warnings: list[tuple[str, CallWarning]] = []

    def _extend(self, target: list[ItemT], items: list[ItemT]) -> None:
        room = REPORT_ITEMS_MAX - len(target)
        target.extend(items[:room])
        self._omitted += max(0, len(items) - room)


def _pause_seconds(attempt: int) -> float:
    """Return a pause that doubles up to ten seconds, half of it random to keep clients apart."""
    longest = min(_PAUSE_SECONDS_MAX, _PAUSE_SECONDS_FIRST * (1 << min(attempt, 16)))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - not a secret


def _log(failures: Sequence[Refusal | Undelivered]) -> None:
    """Log failures: the default `on_error`. It logs message ids, and nothing else that was sent."""
    first = failures[0]
    if isinstance(first, Refusal):
        _LOG.warning("%d refused, first %s: %s", len(failures), first.message_id, first.reason)
    else:
        _LOG.warning("%d undelivered, first %s: %s", len(failures), first.message_id, first.error)
