"""Batches of 500 against plain sqlite3 that inserts the same rows, with the same durability."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from tests.bench import corpus
from tests.bench.results import Result, ratio
from tests.support.servers import running

from sameas import v1
from sameas_service.store.sqlite import schema
from sameas_service.store.sqlite.connection import open_writer

BATCH = 500
MESSAGES = 20_000
ROUNDS = 5
UNDER_WAY = 4


def measure() -> list[Result]:
    """Throughput of Ingest, durable and with identities resolved, as a share of plain rows."""
    items = corpus.items(MESSAGES * (ROUNDS + 1))
    shares, rates, latencies = [], [], []
    with running() as server, tempfile.TemporaryDirectory() as directory:
        plain = _plain(Path(directory) / "plain.db")
        _ingest(server.target, items[:MESSAGES])
        seen = _rows(server.data / "sameas.db", 0)
        _insert(plain, seen)
        for number in range(1, ROUNDS + 1):
            part = items[number * MESSAGES : (number + 1) * MESSAGES]
            seconds, took = _ingest(server.target, part)
            rows = _rows(server.data / "sameas.db", seen[-1][0])
            assert len(rows) == MESSAGES, "not all were kept"
            seen = rows
            shares.append(_insert(plain, rows) / seconds)
            rates.append(MESSAGES / seconds)
            latencies += took
        plain.close()
    latencies.sort()
    return [
        ratio("Ingest of 500 against plain sqlite3", statistics.median(shares), least=0.6),
        Result("Ingest of 500", statistics.median(rates), "messages/s"),
        Result("Ingest of 500, p50", latencies[len(latencies) // 2] * 1e3, "ms"),
        Result("Ingest of 500, p99", latencies[int(len(latencies) * 0.99)] * 1e3, "ms"),
    ]


def _ingest(target: str, items: Sequence[v1.IngestItem]) -> tuple[float, list[float]]:
    """Seconds for all items, with a few batches under way; and each batch's seconds."""
    bodies = [
        v1.IngestRequest(items=items[at : at + BATCH], imported=True).SerializeToString()
        for at in range(0, len(items), BATCH)
    ]
    took: list[float] = []
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/sameas.v1.IdentityService/Ingest")
        grpc.channel_ready_future(channel).result(timeout=10)
        begin = time.perf_counter()
        waiting: list[tuple[float, Any]] = []
        for body in bodies:
            if len(waiting) == UNDER_WAY:
                took.append(_finish(*waiting.pop(0)))
            waiting.append((time.perf_counter(), call.future(body, timeout=60)))
        took += [_finish(*one) for one in waiting]
        return time.perf_counter() - begin, took


def _finish(begun: float, future: Any) -> float:
    future.result()
    return time.perf_counter() - begun


def _plain(path: Path) -> sqlite3.Connection:
    connection = open_writer(path)
    schema.migrate(connection)
    return connection


def _rows(path: Path, behind: int) -> list[tuple[Any, ...]]:
    """The ledger's rows behind a sequence number, as they were inserted."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT * FROM message WHERE seq > ? ORDER BY seq", (behind,)
        ).fetchall()
    finally:
        connection.close()


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> float:
    """Seconds to insert rows in transactions of a batch each, and nothing else."""
    statement = f"INSERT INTO message VALUES ({', '.join('?' * len(rows[0]))})"
    begin = time.perf_counter()
    for at in range(0, len(rows), BATCH):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows[at : at + BATCH])
        connection.execute("COMMIT")
    return time.perf_counter() - begin
