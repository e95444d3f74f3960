"""Stores of any size: filled fast by the product's own code, in the order of arrival."""

import gc
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, position_of
from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.ports import WriteTransaction
from sameas_service.resolver.write.group import append
from sameas_service.store.sqlite.store import FILE, SqliteStore

MESSAGES = int(os.environ.get("SAMEAS_BENCH_MESSAGES", "10_000_000"))
"""Messages of a filled store."""

DEVICES = int(os.environ.get("SAMEAS_BENCH_DEVICES", "1_000_000"))
"""Devices that the messages come from, each with a user of its own: as many persons."""

ROUND_MESSAGES = int(os.environ.get("SAMEAS_BENCH_ROUND", "20_000"))
"""Messages of one round of a measurement."""

KEPT = os.environ.get("SAMEAS_BENCH_DATA", "")
"""A directory in which the filled store is kept for the next run; empty for none."""

START = 1_700_000_000_000_000
STEP = 100_000
"""Microseconds between two messages: at ten a second, 10,000,000 of them are eleven days."""

GROUP = 10_000
TRANSACTION = 500_000
CACHE_KIB = 3 * 1024 * 1024


class Traffic:
    """Messages of random devices, in order of time; the same for the same seed.

    Seven in ten name the device alone, two both ids, and one is an Identify with traits.
    """

    def __init__(self, seed: int, *, behind: int = 0, ordered_ids: bool = False) -> None:
        """Comes behind so many messages. Their ids are UUIDv7 where `ordered_ids`, else UUIDv4:
        in no order.
        """
        self._chance = random.Random(seed)
        self._ordered_ids = ordered_ids
        self._clock = START + behind * STEP

    def take(self, count: int) -> list[Message]:
        """The next messages."""
        return [self._message() for _ in range(count)]

    def _message(self) -> Message:
        self._clock += STEP
        number = int(self._chance.random() * DEVICES)
        draw = self._chance.random()
        user = None if draw < 0.7 else f"usr_{number:08d}"
        if draw < 0.9:
            kind, event = Kind.TRACK, "product_view"
            payload = f'{{"price":{number % 90}.5,"session":"sess_{number:08d}"}}'
        else:
            kind, event = Kind.IDENTIFY, ""
            payload = f'{{"name":"Person {number}","visits":{int(draw * 1e6)}}}'
        return Message(
            kind, position_of(kind, self._clock, self._message_id()), self._clock,
            device_name(number), user, None, event, payload, '{"device":{"type":"tablet"}}',
            self._clock,
        )  # fmt: skip

    def _message_id(self) -> str:
        value, version = self._chance.getrandbits(128), 4
        if self._ordered_ids:
            value, version = self._clock // 1_000 << 80 | value & (1 << 80) - 1, 7
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{version}{text[13:16]}-a{text[17:20]}-{text[20:]}"


def device_name(number: int) -> str:
    """The anonymous id of a device, as long as a UUID."""
    return f"device-{number:029d}"


def requests(messages: Sequence[Message], batch: int) -> list[bytes]:
    """Messages as batches for `Ingest`."""
    items = [_item(message) for message in messages]
    return [
        v1.IngestRequest(items=items[at : at + batch]).SerializeToString()
        for at in range(0, len(items), batch)
    ]


def _item(message: Message) -> v1.IngestItem:
    seconds, micros = divmod(message.event_time, 1_000_000)
    call = {
        "message_id": message.message_id,
        "anonymous_id": message.device,
        "user_id": message.user or "",
        "timestamp": Timestamp(seconds=seconds, nanos=micros * 1_000),
        "context_json": message.context,
    }
    if message.kind is Kind.RESET:
        return v1.IngestItem(reset=v1.ResetRequest(**call))
    if message.kind is Kind.IDENTIFY:
        return v1.IngestItem(identify=v1.IdentifyRequest(traits_json=message.payload, **call))
    return v1.IngestItem(
        track=v1.TrackRequest(
            kind=int(message.kind), event=message.event, properties_json=message.payload, **call
        )
    )


@contextmanager
def filled() -> Iterator[Path]:
    """A data directory with `MESSAGES`, to be copied and not written to: the kept one, made
    where it is missing, or a temporary one.
    """
    with tempfile.TemporaryDirectory() as directory:
        original = Path(KEPT or Path(directory) / "data")
        if not original.exists():
            _fill_whole(original)
        yield original


def copied(original: Path, data: Path) -> Path:
    """A copy of a data directory that no server has open; what is there already goes first."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    shutil.copy(original / FILE, data / FILE)
    with (data / FILE).open("rb") as file:
        # What waits to be written would slow down the first to ask for an fsync.
        os.fsync(file.fileno())
    return data


def _fill_whole(data: Path) -> None:
    """Fills a directory under another name first, so that half a store is never taken for one."""
    half = data.with_name(data.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    fill(half, Traffic(1), MESSAGES)
    half.rename(data)


def fill(data: Path, traffic: Traffic, count: int) -> None:
    """Adds messages; tables and indexes become what they would if the messages came singly.

    Only the durability is left out: no log, no fsync, and a cache that most of the file fits
    into, so that a page is written once for many messages.
    """
    rules = Rules()
    with closing(SqliteStore(data)) as store:
        workspace = store.workspace(rules.workspace, rules.session_gap)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            store._writer.execute(f"PRAGMA {pragma}").fetchall()
        with _uncollected():
            for done in range(0, count, TRANSACTION):
                size = min(TRANSACTION, count - done)
                store.write(partial(_take, workspace=workspace, traffic=traffic, count=size))
        store._writer.execute("PRAGMA journal_mode = WAL").fetchall()


def _take(
    transaction: WriteTransaction, workspace: Workspace, traffic: Traffic, count: int
) -> None:
    """Keeps so many messages, a group at a time; once, since SQLite has no conflicts."""
    for at in range(0, count, GROUP):
        append(transaction, workspace, traffic.take(min(GROUP, count - at)))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which takes a fifth of the time and finds nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
