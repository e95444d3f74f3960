"""A real server under writes, long reads and exports: its log stays below the documented bound."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from sameas import v1
from sameas_service.store.sqlite.store import FILE
from sameas_service.store.sqlite.wal import LOG_BYTES_MAX, MIB
from support.api import Api, connected
from support.servers import Server

SEED = 20_261_121
LOAD_SECONDS = 5.0
PREFILLED, TOGETHER = 6_000, 2_000
LARGE_MESSAGES = 100
PAYLOAD = f'{{"text":"{"x" * 30_000}"}}'
GROUP_BYTES_MAX = 16 * MIB
"""By how much the groups of this load may go beyond the bound: three writers' batches."""


class Load:
    """Calls that go on and on, by threads; and how often each was answered."""

    def __init__(self, server: Server) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._server = server
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, call: Callable[[Api], object]) -> None:
        """Repeats a call until the load is over."""
        thread = threading.Thread(target=self._repeat, args=(name, call), name=name)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Ends all of it."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _repeat(self, name: str, call: Callable[[Api], object]) -> None:
        with connected(self._server.target) as api:
            while not self._is_over.is_set():
                try:
                    call(api)
                    self.done[name] += 1
                except grpc.RpcError as error:
                    self._note(name, error)
                except (AssertionError, subprocess.CalledProcessError) as error:
                    self.wrong.append(f"{name}: {error}")

    def _note(self, name: str, error: grpc.RpcError) -> None:
        """A busy server may ask to come again later, and nothing else."""
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            self.wrong.append(f"{name}: {error}")
        self.done[f"{name} refused"] += 1
        time.sleep(0.1)


class Traffic:
    """The calls of the load: writes of new messages, and reads that take long."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._choose = random.Random(SEED)
        self._numbers = count()
        self._now = Timestamp(seconds=int(time.time()) + 3_600)

    def prefill(self, api: Api) -> None:
        """Makes a person of whom it takes long to read."""
        for _ in range(PREFILLED // TOGETHER):
            api.ingest(*(v1.TrackRequest(user_id="large", event="e") for _ in range(TOGETHER)))

    def write(self, api: Api) -> None:
        """A batch that makes the log some 4 MB longer."""
        items = [
            v1.TrackRequest(
                message_id=f"{self._choose.getrandbits(64):x}",
                anonymous_id=f"device-{self._choose.randrange(5_000)}",
                user_id=f"user-{self._choose.randrange(2_000)}",
                event="page",
                properties_json=PAYLOAD,
            )
            for _ in range(LARGE_MESSAGES)
        ]
        assert all(result.HasField("receipt") for result in api.ingest(*items))

    def read_past(self, api: Api) -> None:
        key = v1.PersonKey(user_id="large")
        api.persons.GetPerson(v1.GetPersonRequest(key=key, as_of=self._now), timeout=60)

    def read_page(self, api: Api) -> None:
        key = v1.PersonKey(user_id="large")
        request = v1.ListMessagesRequest(key=key, page_size=1_000, events=["none"])
        assert not api.persons.ListMessages(request, timeout=60).messages

    def export(self, _: Api) -> None:
        file = self._data.parent / f"{next(self._numbers)}.jsonl"
        command = [sys.executable, "-m", "sameas_service", "export", str(file)]
        subprocess.run([*command, "--data", str(self._data)], check=True, capture_output=True)


def test_the_log_is_bounded_beside_long_reads_and_exports_and_writers_go_on(fresh_server: Server):
    traffic, log = Traffic(fresh_server.data), fresh_server.data / f"{FILE}-wal"
    with connected(fresh_server.target) as api:
        traffic.prefill(api)
    load, sizes = Load(fresh_server), []
    for call in (
        *(traffic.write, traffic.write, traffic.write),
        *(traffic.read_past, traffic.read_page, traffic.export),
    ):
        load.start(call.__name__, call)

    deadline = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.02)
        sizes.append(log.stat().st_size)
    load.end()

    grown = max(sizes) / MIB
    print(f"\nthe log: {grown:.0f} MiB at most, beside {dict(load.done)}")  # noqa: T201 - for -s
    assert load.wrong == []
    assert {"write", "read_past", "read_page", "export"} <= set(load.done)
    assert max(sizes) < LOG_BYTES_MAX + GROUP_BYTES_MAX
    assert "a program reads one snapshot" not in fresh_server.log()
