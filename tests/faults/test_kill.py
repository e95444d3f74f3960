"""kill -9 under load: what was acknowledged is there, once; what was not, at most once.

This shows that an acknowledgement comes behind the commit. It cannot show that the commit is
on the disk: the page cache outlives a killed process. `SAMEAS_TEST_KILLS` says how many kills.
"""

import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import grpc

from sameas import v1
from sameas_service.domain.derive import Rules
from support.api import Api, connected
from support.books import is_serving, patiently
from support.faults import SEED
from support.ledgers import left_behind
from support.servers import Server
from support.worlds import expected_dump

KILLS = int(os.environ.get("SAMEAS_TEST_KILLS") or 20)
WRITERS = 5
KILL_AFTER_SECONDS = (0.05, 0.5)
CALL_SECONDS = 5
RETRIED = 0.7
"""The part of the calls without an answer that is tried again; the rest stays unknown."""

SERVING_SECONDS = 2
"""How long a killed server is away, as a rule: from the kill until its health is SERVING again.
The worst is only reported, since it says as much of what else the machine does."""


class Supervisor:
    """Starts the server again and again; writers ask it where it is."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.generation = 0
        self.is_over = threading.Event()
        self.away_seconds: list[float] = []
        self._ready = threading.Condition()

    def run(self, choose: random.Random) -> None:
        """Kills the running server at random moments, and starts it again each time."""
        for _ in range(KILLS):
            time.sleep(choose.uniform(*KILL_AFTER_SECONDS))
            began = time.monotonic()
            self.server.kill()
            self.server.start()
            assert is_serving(self.server.target)
            self.away_seconds.append(time.monotonic() - began)
            with self._ready:
                self.generation += 1
                self._ready.notify_all()
        time.sleep(0.3)
        self.is_over.set()

    def await_after(self, generation: int) -> int:
        """Waits for a server later than this one; its generation."""
        with self._ready:
            assert self._ready.wait_for(lambda: self.generation > generation, timeout=60)
            return self.generation


class Writer(threading.Thread):
    """Writes to a user and a device of its own, and keeps book of the answers.

    Attributes:
        acknowledged: ids whose call was answered with OK.
        unknown: ids whose last call had no answer.
        retries: how repeated calls were answered.
        wrong: answers that must not be.
    """

    def __init__(self, number: int, supervisor: Supervisor) -> None:
        super().__init__(name=f"writer-{number}")
        self.user, self.device = f"user-{number}", f"device-{number}"
        self.acknowledged: dict[str, Any] = {}
        self.unknown: dict[str, Any] = {}
        self.retries: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._supervisor = supervisor
        self._choose = random.Random(SEED + number)
        self._numbers = count()

    def run(self) -> None:
        generation = 0
        while not self._supervisor.is_over.is_set():
            with connected(self._supervisor.server.target) as api:
                self._repeat(api)
                alive = True
                while alive and not self._supervisor.is_over.is_set():
                    alive = self._write(api)
            if not alive:
                generation = self._supervisor.await_after(generation)

    def _write(self, api: Api) -> bool:
        """One new call, of one message or of several; whether it was answered."""
        requests = [self._request() for _ in range(self._choose.choice([1, 1, 1, 20]))]
        self.unknown |= {request.message_id: request for request in requests}
        receipts = self._send(api, requests)
        for receipt in receipts:
            self._acknowledge(receipt)
            if receipt.duplicate:
                self.wrong.append(f"{receipt.message_id} is new, and was called a duplicate")
        return bool(receipts)

    def _repeat(self, api: Api) -> None:
        """Repeats most calls without an answer, and some that had one."""
        if not self._supervisor.generation:
            return
        known = self._choose.sample(sorted(self.acknowledged), min(20, len(self.acknowledged)))
        missing = [i for i in sorted(self.unknown) if self._choose.random() < RETRIED]
        for message_id in known:
            for receipt in self._send(api, [self.acknowledged[message_id]]):
                self.retries["acknowledged before"] += 1
                if not receipt.duplicate:
                    self.wrong.append(f"{message_id} was acknowledged, and is new again")
        for message_id in missing:
            for receipt in self._send(api, [self.unknown[message_id]]):
                self.retries["duplicate" if receipt.duplicate else "new"] += 1
                self._acknowledge(receipt)

    def _send(self, api: Api, requests: list[Any]) -> list[v1.Receipt]:
        """The receipts, or none where the server is gone."""
        try:
            if len(requests) == 1:
                return [patiently(lambda: api.send(requests[0]))]
            return [result.receipt for result in patiently(lambda: api.ingest(*requests))]
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                self.wrong.append(f"{error.code()} {error.details()}")
            return []

    def _acknowledge(self, receipt: v1.Receipt) -> None:
        self.acknowledged[receipt.message_id] = self.unknown.pop(receipt.message_id)

    def _request(self) -> Any:
        message_id = f"{self.user}-{next(self._numbers):06}"
        what = self._choose.random()
        if what < 0.5:
            return v1.UpdateProfileRequest(
                message_id=message_id, user_id=self.user, operations_json='{"increment":{"n":1}}'
            )
        if what < 0.9:
            return v1.TrackRequest(message_id=message_id, anonymous_id=self.device, event="e")
        return v1.IdentifyRequest(
            message_id=message_id, anonymous_id=self.device, user_id=self.user
        )


@contextmanager
def writing(supervisor: Supervisor) -> Iterator[list[Writer]]:
    writers = [Writer(number, supervisor) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        supervisor.is_over.set()
        for writer in writers:
            writer.join(60)


def test_kills_lose_nothing_that_was_acknowledged_and_double_nothing(
    fresh_server: Server,
) -> None:
    supervisor = Supervisor(fresh_server)
    with writing(supervisor) as writers:
        supervisor.run(random.Random(SEED))

    for writer in writers:
        assert writer.wrong == [], f"seed {SEED}"
    _check_what_is_read(fresh_server, writers)
    acknowledged, retries = _reported(supervisor, writers)
    assert len(supervisor.away_seconds) == KILLS
    assert acknowledged > KILLS * WRITERS
    assert retries["new"] > 0
    assert retries["acknowledged before"] > KILLS
    assert fresh_server.stop() == 0
    kept, dumped = left_behind(fresh_server.data)
    assert dumped == expected_dump(kept, Rules()), f"seed {SEED}"
    assert statistics.median(supervisor.away_seconds) <= SERVING_SECONDS


def _reported(supervisor: Supervisor, writers: list[Writer]) -> tuple[int, Counter[str]]:
    """How many messages were acknowledged, and how retries were answered; all of it printed."""
    retries = sum((writer.retries for writer in writers), Counter[str]())
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    unknown = sum(len(writer.unknown) for writer in writers)
    seconds = sorted(supervisor.away_seconds)
    median, late = statistics.median(seconds), seconds[int(0.99 * len(seconds))]
    # For who reads with -s.
    print(f"\n{KILLS} kills, seed {SEED}: {acknowledged} acknowledged, {unknown} unknown")  # noqa: T201
    print(f"retries: {dict(retries)}")  # noqa: T201
    print(f"kill to SERVING: median {median:.2f}, p99 {late:.2f}, worst {seconds[-1]:.2f} s")  # noqa: T201
    return acknowledged, retries


def _check_what_is_read(server: Server, writers: list[Writer]) -> None:
    """By the API alone: every acknowledged message once, and no increment twice."""
    with connected(server.target) as api:
        for writer in writers:
            listed = Counter(message.message_id for message in api.timeline(user_id=writer.user))
            assert set(listed.values()) == {1}, f"seed {SEED}"
            assert set(writer.acknowledged) - set(listed) == set(), f"seed {SEED}"
            assert set(listed) - set(writer.acknowledged) <= set(writer.unknown)

            known = writer.acknowledged | writer.unknown
            increments = sum(isinstance(known[i], v1.UpdateProfileRequest) for i in listed)
            assert api.person(user_id=writer.user).traits_json == f'{{"n":{increments}}}'
