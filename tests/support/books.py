"""Calls to a server that may fail, and a book of how each was answered."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sameas import v1
from sameas_service.domain.derive import Rules
from support.api import Api, connected, refusal_of
from support.ledgers import left_behind
from support.maintained import verified
from support.worlds import expected_dump

WRITERS = 3
BATCH = 15
TRIES_MAX = 200
BUSY_SECONDS = 0.05
USERS, DEVICES = 4, 6

GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""What a call gets from a server that ends, the second where no handler had it yet."""

Calls = list[list[Any]]
Answer = TypeVar("Answer")


class Book:
    """How the messages of calls were answered; for any number of threads.

    Attributes:
        acknowledged: ids of messages that were answered with OK.
        unknown: ids of messages whose last call had no answer.
        refused: calls that were answered with DISK_FULL, to be made again.
        refusals: how many such answers there were.
        wrong: answers that must not be.
    """

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.refused: Calls = []
        self.refusals = 0
        self.wrong: list[str] = []

    def write(self, target: str, calls: Calls) -> None:
        """Makes the calls, some at a time, and keeps the answers."""
        with connected(target) as api, ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda call: self._make(api, call), calls))

    def write_again(self, target: str) -> None:
        """Makes the refused calls again, one by one, until none is left or the bound is met."""
        for _ in range(TRIES_MAX):
            if not self.refused:
                return
            self.write(target, [self.refused.pop(0)])

    def _make(self, api: Api, call: list[Any]) -> None:
        ids = [request.message_id for request in call]
        try:
            receipts = _sent(api, call)
        except grpc.RpcError as error:
            self._note(api, call, error)
            return
        self.unknown -= set(ids)
        self.acknowledged |= set(ids)
        if [receipt.message_id for receipt in receipts] != ids:
            self.wrong.append(f"{ids} were answered by {receipts}")

    def _note(self, api: Api, call: list[Any], error: grpc.RpcError) -> None:
        if error.code() in GONE:
            self.unknown |= {request.message_id for request in call}
        elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            refusal = refusal_of(error)
            if refusal.reason != "DISK_FULL" or "the disk is full" not in refusal.sentence:
                self.wrong.append(str(refusal))
            self.refused.append(call)
            self.refusals += 1
            self._read(api)
        else:
            self.wrong.append(f"{error.code()} {error.details()}")

    def _read(self, api: Api) -> None:
        """Reads go on where writes are refused."""
        try:
            patiently(lambda: api.people(v1.PersonKey(user_id="user-0")))
        except grpc.RpcError as error:
            if error.code() not in GONE:
                self.wrong.append(f"a read: {error.code()} {error.details()}")


def _sent(api: Api, call: list[Any]) -> Sequence[v1.Receipt]:
    if len(call) == 1:
        return [patiently(lambda: api.send(call[0]))]
    return [result.receipt for result in patiently(lambda: api.ingest(*call))]


def patiently(call: Callable[[], Answer]) -> Answer:
    """The answer to a call that is made again where the server is too busy for it."""
    for _ in range(TRIES_MAX):
        try:
            return call()
        except grpc.RpcError as error:
            is_exhausted = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            if not is_exhausted or refusal_of(error).reason != "OVERLOADED":
                raise
        time.sleep(BUSY_SECONDS)
    raise AssertionError("the server is always too busy")


def calls_of(name: str, choose: random.Random, number: int) -> Calls:
    """Calls of one message and of a batch, on few ids, so that they have to do with each other."""
    ids = (f"{name}-{one:05}" for one in count())
    return [
        [_alone(next(ids), choose)]
        if choose.random() < 0.75
        else [_request(next(ids), choose) for _ in range(BATCH)]
        for _ in range(number)
    ]


def large_calls(name: str, number: int, messages: int) -> Calls:
    """Calls with as many bytes as there may be: each message is about 32 KB."""
    payload = f'{{"text":"{"x" * 32_000}"}}'
    return [
        [
            v1.TrackRequest(
                message_id=f"{name}-{one:03}-{each:03}", user_id=f"user-{each % USERS}",
                event="large", properties_json=payload,
            )
            for each in range(messages)
        ]
        for one in range(number)
    ]  # fmt: skip


def _alone(message_id: str, choose: random.Random) -> Any:
    """A request that need not stand in a batch; merges and unlinks may not."""
    user, other = (f"user-{number}" for number in choose.sample(range(USERS), 2))
    what = choose.random()
    if what < 0.1:
        return v1.MergeRequest(message_id=message_id, user_id=user, previous_user_id=other)
    if what < 0.2:
        device = f"device-{choose.randrange(DEVICES)}"
        return v1.UnlinkRequest(message_id=message_id, user_id=user, anonymous_id=device)
    return _request(message_id, choose)


def _request(message_id: str, choose: random.Random) -> Any:
    user = f"user-{choose.randrange(USERS)}"
    device = f"device-{choose.randrange(DEVICES)}"
    what = choose.random()
    if what < 0.3:
        return v1.UpdateProfileRequest(
            message_id=message_id, user_id=user, operations_json='{"increment":{"n":1}}'
        )
    if what < 0.6:
        return v1.TrackRequest(message_id=message_id, anonymous_id=device, event="e")
    if what < 0.9:
        return v1.IdentifyRequest(message_id=message_id, anonymous_id=device, user_id=user)
    return v1.ResetRequest(message_id=message_id, anonymous_id=device)


def is_serving(target: str) -> bool:
    """What the server's health says."""
    with connected(target) as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def contradictions(data: Path, before: set[str], book: Book) -> Iterator[str]:
    """What a stopped server left behind that does not go with its answers, or with the model."""
    messages, dumped = left_behind(data)
    kept = [message.message_id for message in messages]
    acknowledged = before | book.acknowledged
    if len(kept) != len(set(kept)):
        yield "a message is there twice"
    if lost := acknowledged - set(kept):
        yield f"acknowledged and lost: {sorted(lost)}"
    if stray := set(kept) - acknowledged - book.unknown:
        yield f"refused and kept: {sorted(stray)}"
    if dumped != expected_dump(messages, Rules()):
        yield "the dump is not the model's"
    yield from (f"verify: {difference}" for difference in verified(data))
