"""Load that does not wait for answers: calls at fixed times, each with a deadline.

Callers who do not know of each other offer load like this. A call's seconds count from when it
was due, not from when it could be sent, so that a server that is slow to read hides nothing.
"""

import selectors
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.h2 import HEADER_TABLE_SIZE, RST_STREAM, Connection, frame, headers

CANCEL = (8).to_bytes(4)
CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = "1", "4", "8"
UNSENT_BYTES_MAX = 65_536
STATUS = b"grpc-status"
PUSHBACK = b"grpc-retry-pushback-ms"


@dataclass
class Offered:
    """What became of offered calls.

    Attributes:
        seconds: for how long calls were offered.
        calls: how many were.
        ok: seconds of each call that was answered in time.
        refused: seconds of each call that ended with RESOURCE_EXHAUSTED.
        pushed_back: how many of these were told when to come again.
        shed: calls that gRPC's core ended with CANCELLED.
        others: calls that ended otherwise, by `grpc-status` or `reset`.
        expired: calls whose deadline passed; those that never left are among them.
    """

    seconds: float
    calls: int = 0
    ok: list[float] = field(default_factory=list, repr=False)
    refused: list[float] = field(default_factory=list, repr=False)
    pushed_back: int = 0
    shed: list[float] = field(default_factory=list, repr=False)
    others: Counter[str] = field(default_factory=Counter)
    expired: int = 0

    @property
    def goodput(self) -> float:
        """Answers in time, a second."""
        return len(self.ok) / self.seconds


def offer(
    target: str,
    method: str,
    bodies: Sequence[bytes],
    *,
    rate: float,
    deadline_seconds: float = 1.0,
    connections: int = 8,
) -> Offered:
    """Offers one call a body, so many a second, and waits until each ended or its time is over."""
    offered = Offered(len(bodies) / rate, calls=len(bodies))
    opened = [_Open(target, method, deadline_seconds, offered) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        for one in opened:
            selector.register(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
        _settle(selector)
        begin, sent = time.perf_counter(), 0
        while sent < len(bodies) or any(one.is_waiting for one in opened):
            now = time.perf_counter()
            due = min(len(bodies), int((now - begin) * rate))
            for index in range(sent, due):
                opened[index % connections].waiting.append((begin + index / rate, bodies[index]))
            sent = due
            for one in opened:
                one.turn(now)
            for key, events in selector.select(timeout=0.001):
                if events & selectors.EVENT_READ:
                    key.data.receive()
            time.sleep(0.0005)
    for one in opened:
        one.socket.close()
    return offered


def _settle(selector: selectors.BaseSelector) -> None:
    """Takes the settings of both sides before the first call."""
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:
        for key, events in selector.select(timeout=0.01):
            if events & selectors.EVENT_READ:
                key.data.receive()
        time.sleep(0.005)


class _Open(Connection):
    """A connection to which calls are given when they are due."""

    def __init__(self, target: str, method: str, deadline_seconds: float, offered: Offered) -> None:
        # With no table of headers the status comes in plain letters.
        super().__init__(target, (HEADER_TABLE_SIZE, 0))
        self.socket.setblocking(False)
        self.waiting: deque[tuple[float, bytes]] = deque()
        self._deadline = deadline_seconds
        milliseconds = str(int(deadline_seconds * 1e3))
        self._headers = headers(target, method, grpc_timeout=f"{milliseconds}m")
        self._offered = offered
        self._unsent = b""
        self._due: dict[int, float] = {}
        self._replied: set[int] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether a call has not ended."""
        return bool(self.waiting or self._due)

    def turn(self, now: float) -> None:
        """Gives up on what is too late, then sends what waits, as far as there is room."""
        out = [self._unsent, *self._expire(now)]
        while self.waiting and len(self._unsent) < UNSENT_BYTES_MAX and self.window > 8_192:
            due, body = self.waiting.popleft()
            self._due[self.stream] = due
            out.append(self.call(self._headers, body))
        self._unsent = b""
        self.send(b"".join(out))

    def _expire(self, now: float) -> list[bytes]:
        while self.waiting and now - self.waiting[0][0] > self._deadline:
            self.waiting.popleft()
            self._offered.expired += 1
        out = []
        while self._due:
            stream, due = next(iter(self._due.items()))
            if now - due <= self._deadline:
                break
            del self._due[stream]
            self._replied.discard(stream)
            self._offered.expired += 1
            out.append(frame(RST_STREAM, 0, stream, CANCEL))
        return out

    def send(self, data: bytes) -> None:
        """Sends as much as there is room for, and keeps the rest."""
        data = self._unsent + data
        try:
            taken = self.socket.send(data) if data else 0
        except BlockingIOError:
            taken = 0
        self._unsent = data[taken:]

    def answered(self, stream: int) -> None:
        """A message came."""
        self._replied.add(stream)

    def ended(self, stream: int, block: bytes) -> None:
        """Counts a call, unless its time was over before."""
        due = self._due.pop(stream, None)
        if due is None:
            return
        seconds = time.perf_counter() - due
        if stream in self._replied:
            self._replied.discard(stream)
            self._offered.ok.append(seconds)
            return
        status = _status(block)
        if status == RESOURCE_EXHAUSTED:
            self._offered.refused.append(seconds)
            self._offered.pushed_back += PUSHBACK in block
        elif status == DEADLINE_EXCEEDED:
            self._offered.expired += 1
        elif status == CANCELLED:
            self._offered.shed.append(seconds)
        else:
            self._offered.others[status] += 1


def _status(block: bytes) -> str:
    at = block.find(STATUS)
    if at < 0:
        return "reset"
    at += len(STATUS)
    return block[at + 1 : at + 1 + block[at]].decode()
