"""The same batches by `IngestStream`, against plain sqlite3 that inserts the same rows."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

import grpc
from tests.bench import ingest
from tests.bench.results import Result

from sameas import v1


def measure() -> list[Result]:
    """Throughput of one stream, durable and with identities resolved."""
    return ingest.compare(f"IngestStream of {ingest.BATCH}", _send, _requests)


def _requests(items: Sequence[v1.IngestItem]) -> list[bytes]:
    return [
        v1.IngestStreamRequest(batch=v1.IngestRequest.FromString(body)).SerializeToString()
        for body in ingest.requests(items)
    ]


def _send(target: str, bodies: Sequence[bytes]) -> list[float]:
    """Sends batches by one stream, with as many under way as by calls."""
    begun: deque[float] = deque()
    took: list[float] = []
    room = threading.Semaphore(ingest.UNDER_WAY)

    def feed() -> Iterator[bytes]:
        for body in bodies:
            # Bounded, since this runs in a thread of gRPC's that a broken stream leaves behind.
            room.acquire(timeout=60)
            begun.append(time.perf_counter())
            yield body

    with grpc.insecure_channel(target) as channel:
        for _ in channel.stream_stream("/sameas.v1.IdentityService/IngestStream")(feed()):
            took.append(time.perf_counter() - begun.popleft())
            room.release()
    return took
