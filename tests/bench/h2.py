"""A gRPC load generator that costs next to nothing: HTTP/2 frames by hand, on plain sockets.

A gRPC client in Python costs more CPU a call than the server, and would measure itself. This
one writes ready-made frames and counts answers; it knows just enough of RFC 9113 for unary
calls on the loopback interface: settings, pings, resets, and the connection's window.
"""

import selectors
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 0x1, 0x4
TABLE_BEGIN = 62
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 2**31 - 1 - 65_535


@dataclass
class Load:
    """What a run of load gave: answers, failures, and each call's seconds."""

    seconds: float
    ok: int
    failed: int
    latencies: list[float] = field(repr=False)

    @property
    def rate(self) -> float:
        """Answered calls a second."""
        return self.ok / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds within which this share of calls was answered."""
        return percentile(self.latencies, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run(
    target: str, method: str, bodies: Sequence[bytes], *, connections: int = 4, streams: int = 16
) -> Load:
    """Sends one call a body, with a fixed number of them under way, and waits for all."""
    feed = iter(bodies)
    with selectors.DefaultSelector() as selector:
        begin = time.perf_counter()
        opened = [_Caller(target, method, feed, streams) for _ in range(connections)]
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.fill()
        answered = 0
        while answered < len(bodies):
            for key, _ in selector.select(timeout=30) or _stalled():
                key.data.read()
            answered = sum(c.ok + c.failed for c in opened)
        seconds = time.perf_counter() - begin
    for connection in opened:
        connection.socket.close()
    latencies = [one for connection in opened for one in connection.latencies]
    return Load(seconds, sum(c.ok for c in opened), sum(c.failed for c in opened), latencies)


def _stalled() -> list[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("no answer in 30 seconds")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Blocks(NamedTuple):
    """The headers of a connection's calls: of the first, which the server puts into its table,
    and of all others, which are places in that table. So does every gRPC client.
    """

    first: bytes
    others: bytes


def headers(authority: str, method: str, **more: str) -> Blocks:
    """The header blocks of a method's calls."""
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", authority),
        ("te", "trailers"), ("content-type", "application/grpc"),
        *((name.replace("_", "-"), value) for name, value in more.items()),
    ]  # fmt: skip
    first = b"".join(
        b"\x40" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields
    )
    # The table begins at 62, with what came last.
    places = (TABLE_BEGIN + len(fields) - 1 - place for place in range(len(fields)))
    return Blocks(first, bytes(0x80 | place for place in places))


class Connection:
    """A connection that takes frames apart, and keeps its window and its peer content."""

    def __init__(self, target: str, *settings: tuple[int, int]) -> None:
        """Opens it, with further settings as pairs of identifier and value."""
        host, port = target.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pairs = ((INITIAL_WINDOW_SIZE, 2**31 - 1), *settings)
        update = struct.pack(">I", WINDOW)
        self.socket.sendall(
            PREFACE
            + frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))
            + frame(WINDOW_UPDATE, 0, 0, update)
        )
        self.window = 65_535
        self.stream = 1
        self._buffer = b""

    def call(self, blocks: Blocks, body: bytes) -> bytes:
        """The frames of a call on the next stream; all calls have the same headers."""
        block = blocks.first if self.stream == 1 else blocks.others
        payload = b"\x00" + struct.pack(">I", len(body)) + body
        self.window -= len(payload)
        stream, self.stream = self.stream, self.stream + 2
        return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, payload)

    def receive(self) -> None:
        """Takes what the server sent."""
        data = self._buffer + self.socket.recv(262_144)
        at = 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3])
            if len(data) - at - 9 < length:
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + 9])
            self._take(kind, flags, stream, data[at + 9 : at + 9 + length])
            at += 9 + length
        self._buffer = data[at:]

    def send(self, data: bytes) -> None:
        """Sends frames, waiting for room."""
        self.socket.sendall(data)

    def answered(self, stream: int) -> None:
        """A message came."""

    def ended(self, stream: int, block: bytes) -> None:
        """A call ended, with these trailers; none where it was reset."""

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self.answered(stream)
        elif kind == HEADERS and flags & END_STREAM:
            self.ended(stream, payload)
        elif kind == RST_STREAM:
            self.ended(stream, b"")
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.window += int.from_bytes(payload)
        elif kind == GOAWAY:
            raise ConnectionError("the server sent GOAWAY")


class _Caller(Connection):
    """A connection with a fixed number of calls under way."""

    def __init__(self, target: str, method: str, feed: Iterator[bytes], streams: int) -> None:
        super().__init__(target)
        self._headers = headers(target, method)
        self._feed = feed
        self._free = streams
        self._begun: dict[int, float] = {}
        self._replied: set[int] = set()
        self.ok = self.failed = 0
        self.latencies: list[float] = []

    def fill(self) -> None:
        """Starts as many calls as may be under way."""
        out = []
        while self._free and self.window > 65_535 // 2:
            body = next(self._feed, None)
            if body is None:
                break
            self._begun[self.stream] = time.perf_counter()
            out.append(self.call(self._headers, body))
            self._free -= 1
        if out:
            self.send(b"".join(out))

    def read(self) -> None:
        """Takes what the server sent, and starts calls for those that ended."""
        self.receive()
        self.fill()

    def answered(self, stream: int) -> None:
        """An answer without a message is an error: its status alone came back."""
        self._replied.add(stream)

    def ended(self, stream: int, block: bytes) -> None:
        """Counts the call."""
        del block
        if stream not in self._begun:
            return
        self.latencies.append(time.perf_counter() - self._begun.pop(stream))
        ok = stream in self._replied
        self._replied.discard(stream)
        self.ok += ok
        self.failed += not ok
        self._free += 1
