"""The server that is put to the test, and what can happen to it."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from support.servers import Server

LOG_CHARACTERS = 4_000


class Subject:
    """A server that is called, killed and paused meanwhile.

    Attributes:
        target: where it listens now.
        is_up: set while it is not known to be dead.
    """

    def __init__(self, server: Server, prefix: Sequence[str]) -> None:
        self._server = server
        self._prefix = prefix
        self._calls_left = 0
        self._bell = asyncio.Event()
        self.is_up = asyncio.Event()

    async def start(self) -> None:
        """Starts it, or starts it again."""
        await asyncio.to_thread(self._server.start, *self._prefix)
        self.target = self._server.target
        self.is_up.set()

    def bell(self, calls: int) -> asyncio.Event:
        """Is set as soon as so many more calls have begun."""
        self._calls_left, self._bell = calls, asyncio.Event()
        return self._bell

    def count_call(self) -> None:
        """Is to be told of each call that begins."""
        self._calls_left -= 1
        if self._calls_left == 0:
            self._bell.set()

    async def kill(self) -> None:
        """kill -9, and a new start on what it left."""
        self.is_up.clear()
        await asyncio.to_thread(self._server.kill)
        await self.start()

    async def pause(self, seconds: float) -> None:
        """It stands still, as in a long swap or a suspended machine."""
        self._server.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._server.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of what it printed."""
        return self._server.log()[-LOG_CHARACTERS:]

    def stop(self) -> None:
        """Lets go of it; how it ends is for other tests."""
        self._server.process.kill()
        self._server.process.wait()


@asynccontextmanager
async def subject(*prefix: str) -> AsyncIterator[Subject]:
    """A server on an empty data directory; `prefix` is a command to run it under."""
    with tempfile.TemporaryDirectory() as directory:
        started = Subject(Server(Path(directory) / "data"), prefix)
        await started.start()
        try:
            yield started
        finally:
            started.stop()
