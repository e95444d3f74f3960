"""A gRPC load generator that costs next to nothing: HTTP/2 frames by hand, on plain sockets.

A gRPC client in Python costs more CPU a call than the server, and would measure itself. This
one writes ready-made frames and counts answers; it knows just enough of RFC 9113 for unary
calls on the loopback interface: settings, pings, and the connection's window.
"""

import selectors
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
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
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run(
    target: str, method: str, bodies: Sequence[bytes], *, connections: int = 4, streams: int = 16
) -> Load:
    """Sends one call a body, with a fixed number of them under way, and waits for all."""
    host, port = target.rsplit(":", 1)
    feed = iter(bodies)
    with selectors.DefaultSelector() as selector:
        begin = time.perf_counter()
        opened = [_Connection(host, int(port), method, feed, streams) for _ in range(connections)]
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


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _headers(authority: str, method: str) -> bytes:
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", authority),
        ("te", "trailers"), ("content-type", "application/grpc"),
    ]  # fmt: skip
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields
    )


class _Connection:
    """One connection with a fixed number of calls under way."""

    def __init__(
        self, host: str, port: int, method: str, feed: Iterator[bytes], streams: int
    ) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings = struct.pack(">HIHI", 0x4, 2**31 - 1, 0x1, 0)
        update = struct.pack(">I", WINDOW)
        self.socket.sendall(
            PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, update)
        )
        self._headers = _headers(f"{host}:{port}", method)
        self._feed = feed
        self._free = streams
        self._stream = 1
        self._window = 65_535
        self._buffer = b""
        self._begun: dict[int, float] = {}
        self._replied: set[int] = set()
        self.ok = self.failed = 0
        self.latencies: list[float] = []

    def fill(self) -> None:
        """Starts as many calls as may be under way."""
        out = []
        while self._free and self._window > 65_535 // 2:
            body = next(self._feed, None)
            if body is None:
                break
            payload = b"\x00" + struct.pack(">I", len(body)) + body
            out.append(_frame(HEADERS, END_HEADERS, self._stream, self._headers))
            out.append(_frame(DATA, END_STREAM, self._stream, payload))
            self._begun[self._stream] = time.perf_counter()
            self._window -= len(payload)
            self._stream += 2
            self._free -= 1
        if out:
            self.socket.sendall(b"".join(out))

    def read(self) -> None:
        """Takes what the server sent, and starts calls for those that ended."""
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
        self.fill()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._replied.add(stream)
        elif kind == HEADERS and flags & END_STREAM:
            self._end(stream)
        elif kind == SETTINGS and not flags & ACK:
            self.socket.sendall(_frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload)
        elif kind == GOAWAY:
            raise ConnectionError("the server sent GOAWAY")

    def _end(self, stream: int) -> None:
        self.latencies.append(time.perf_counter() - self._begun.pop(stream))
        # An answer without data is an error: its status alone came back.
        ok = stream in self._replied
        self._replied.discard(stream)
        self.ok += ok
        self.failed += not ok
        self._free += 1
