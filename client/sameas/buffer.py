"""Buffered tracking: calls that return at once, sent in batches by threads."""

import atexit
import logging
import os
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sameas._calls import WriteRequest
from sameas._delivery import Delivery, OnError
from sameas._framing import framed
from sameas._outbox import ENTRY_BYTES_MAX, BufferOptions, Entry, Outbox
from sameas._writes import Writes
from sameas.errors import InvalidArgument
from sameas.values import FlushReport

if TYPE_CHECKING:
    from sameas.client import Client

__all__ = ["Buffer", "BufferOptions", "OnError"]

_LOG = logging.getLogger("sameas")
_JOIN_SECONDS = 0.5


class Buffer(Writes[str]):
    """The writing calls of `Client`, which queue the message and return its id.

        with client.buffer() as buffer:
            buffer.track("Signed Up", user_id="u-17")
        # here all is sent; buffer.flush() answers what became of it

    Nothing is dropped silently. When the queue is full a call blocks (its `timeout`, or
    `block_seconds`) and then raises `BufferFull`. A batch that the server cannot take now is
    kept and sent again, with the same message ids. What is refused, or undelivered when its
    time is over, goes to `on_error` (or the log `sameas`) and into the next report.

    The queue is memory: a process that is killed loses what was not sent. Open a buffer
    after a fork, never before. Threads may share it.
    """

    def __init__(
        self,
        client: "Client",
        options: BufferOptions | None = None,
        *,
        on_error: OnError | None = None,
    ) -> None:
        """Start the threads.

        Args:
            client: Sends the batches; close it after the buffer.
            options: The bounds.
            on_error: Called in a thread of the buffer with the refused or undelivered messages
                of each batch, instead of logging a warning.
        """
        self._options = options or BufferOptions()
        self._outbox = Outbox(self._options)
        self._delivery = Delivery(client, self._options, on_error)
        self._process = os.getpid()
        # Daemons: the interpreter joins other threads before it calls `atexit`.
        self._threads = [
            threading.Thread(target=self._run, name=f"sameas-buffer-{number}", daemon=True)
            for number in range(self._options.senders)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self._close_at_exit)

    def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what is queued, and wait until all of it has an answer.

        Args:
            timeout: Seconds to wait at most. None: as long as it takes, which the buffer's
                `retry_seconds` bound for each batch.

        Returns:
            What became of all messages since the report before. `pending` counts those that
            had no answer in time; they stay queued.
        """
        pending = self._outbox.wait(timeout)
        return self._delivery.report(pending)

    def close(self, timeout: float | None = None) -> FlushReport:
        """Send what is queued, take nothing more, and end the threads.

        Args:
            timeout: Seconds that it may take. None: `close_seconds`. What is not delivered
                by then is reported as undelivered.

        Returns:
            As `flush`. Closing again gives an empty report.
        """
        seconds = self._options.close_seconds if timeout is None else timeout
        self._outbox.close()
        self._delivery.stop(seconds)
        # An attempt under way ends by its own deadline, which may be later than ours.
        end = time.monotonic() + seconds + _JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        atexit.unregister(self._close_at_exit)
        return self._delivery.report(self._outbox.wait(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_and_warn()

    def _deliver(self, request: WriteRequest, timeout: float | None) -> str:
        if os.getpid() != self._process:
            raise RuntimeError("the buffer was opened before a fork: its threads are not here")
        # As bytes at once: it is final, and takes a tenth of the memory of the object.
        entry = Entry(request.message_id, framed(request))
        if len(entry.body) > ENTRY_BYTES_MAX:
            raise InvalidArgument(
                "the message is larger than a batch may be", reason="BATCH_TOO_LARGE"
            )
        self._outbox.put(entry, self._options.block_seconds if timeout is None else timeout)
        return entry.message_id

    def _run(self) -> None:
        while batch := self._outbox.take():
            self._delivery.deliver(batch.entries)
            self._outbox.settle(batch)

    def _close_at_exit(self) -> None:
        # In a forked child the threads are the parent's, and so are the messages.
        if os.getpid() == self._process:
            self._close_and_warn()

    def _close_and_warn(self) -> None:
        """Close where no one reads the report. What failed was reported; warn of what hangs."""
        if pending := self.close().pending:
            _LOG.warning("%d messages have no answer yet as the buffer closes", pending)
