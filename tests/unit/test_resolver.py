"""What the resolver makes of a store's failures: one call's, a group's, and the whole server's."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.resolver import resolver as module
from sameas_service.resolver.facts import PersonKey, Workspace
from sameas_service.resolver.failures import StoreBusy, StoreError, StoreFailed, StoreFull
from sameas_service.resolver.resolver import Resolver

HERE = Workspace(1, "here", 0)
SECONDS = 5.0


class Faulty:
    """A store whose parts fail as a test says.

    Attributes:
        failing: the error of each method that fails, by name.
        kept: the ids of the messages of each transaction that was kept.
        closed: how often it was closed.
    """

    def __init__(self) -> None:
        self.failing: dict[str, Exception] = {}
        self.kept: list[list[str]] = []
        self.closed = 0
        self.tidied = threading.Semaphore(0)

    def write(self, work: Callable[[Any], Any], **_: bool) -> Any:
        self._fail("write")
        return work(self)

    def read(self, *_: Any) -> Any:
        self._fail("read")
        return []

    def scan(self, *_: Any) -> Any:
        self._fail("scan")
        return []

    def between_writes(self) -> None:
        self.tidied.release()
        self._fail("between_writes")

    def ready(self, *_: float) -> bool:
        self._fail("ready")
        return True

    def close(self) -> None:
        self.closed += 1

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """A store that keeps ids, and can keep none called `bad`."""

    def append(transaction: Faulty, _: Workspace, messages: list[Message]) -> list[str]:
        ids = [message.message_id for message in messages]
        if "bad" in ids:
            raise StoreError("a fault of ours")
        transaction.kept.append(ids)
        return ids

    monkeypatch.setattr(module, "append", append)
    return Faulty()


@pytest.fixture
def failures() -> list[str]:
    """One item for each time that the resolver says that the store failed."""
    return []


@pytest.fixture
async def resolver(store: Faulty, failures: list[str]):
    made = Resolver(store, on_failure=lambda: failures.append("failed"))
    yield made
    store.failing.clear()
    await made.close()


def message(message_id: str) -> Message:
    return accept(Call(Kind.TRACK, message_id, 1_700_000_000_000_000, user_id="u", event="e"))


async def reason_of(call: Any) -> Reason:
    """The reason with which a call is refused, which it must be."""
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(call, SECONDS)
    return refused.value.reason


async def test_a_call_that_the_code_cannot_take_takes_no_other_down(resolver, store) -> None:
    calls = [[message("a")], [message("bad"), message("b")], [message("c"), message("d")]]

    answers = await asyncio.gather(
        *(resolver.append(HERE, call) for call in calls), return_exceptions=True
    )

    assert answers[0] == ["a"]
    assert type(answers[1]) is StoreError
    assert answers[2] == ["c", "d"]
    assert sorted(one for group in store.kept for one in group) == ["a", "c", "d"]


@pytest.mark.parametrize("part", ["write", "read", "scan", "ready", "between_writes"])
async def test_a_store_that_failed_is_left_alone_and_the_server_told_once(
    resolver, store, failures, part: str
) -> None:
    store.failing[part] = StoreFailed("the disk")
    key = PersonKey("user", "u")
    calls = {
        "write": lambda: resolver.append(HERE, [message("a")]),
        "read": lambda: resolver.persons(HERE, [key]),
        "scan": lambda: resolver.persons(HERE, [key], as_of=1),
        "ready": resolver.ready,
        "between_writes": lambda: resolver.append(HERE, [message("a")]),
    }

    first = await asyncio.gather(
        calls[part](), calls[part](), calls[part](), return_exceptions=True
    )
    assert await asyncio.to_thread(wait_for, lambda: failures)
    store.failing.clear()
    later = [await reason_of(calls[name]()) for name in ("write", "read", "scan")]
    is_ready = await resolver.ready()
    await resolver.close()

    if part not in ("ready", "between_writes"):
        assert {one.reason for one in first if isinstance(one, Refused)} == {Reason.STORE_FAILED}
    assert later == [Reason.STORE_FAILED] * 3
    assert (is_ready, failures, store.closed) == (False, ["failed"], 0)


def wait_for(condition: Callable[[], object]) -> bool:
    """Whether a condition comes to hold soon."""
    deadline = threading.Event()
    for _ in range(500):
        if condition():
            return True
        deadline.wait(0.01)
    return False


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(StoreFull, Reason.DISK_FULL), (StoreBusy, Reason.STORE_BUSY)],
)
async def test_a_full_or_busy_store_refuses_a_call_and_takes_the_next(
    resolver, store, failures, failure: type[StoreError], reason: Reason
) -> None:
    store.failing["write"] = failure("for now")
    refused = await reason_of(resolver.append(HERE, [message("a")]))
    store.failing.clear()

    assert refused is reason
    assert await resolver.append(HERE, [message("a")]) == ["a"]
    assert failures == []


@pytest.mark.parametrize("failure", [StoreFull, StoreBusy, StoreError, ValueError])
async def test_what_goes_wrong_between_writes_is_logged_and_no_callers_affair(
    resolver, store, failures, caplog, failure: type[Exception]
) -> None:
    store.failing["between_writes"] = failure("for now")

    with caplog.at_level(logging.WARNING):
        answers = [await resolver.append(HERE, [message(one)]) for one in ("a", "b")]
        assert await asyncio.to_thread(store.tidied.acquire, timeout=SECONDS)
        assert await asyncio.to_thread(store.tidied.acquire, timeout=SECONDS)
        assert await asyncio.to_thread(wait_for, lambda: len(caplog.records) >= 2)

    assert answers == [["a"], ["b"]]
    assert {record.getMessage().split(";")[0].split(":")[0] for record in caplog.records} == {
        "the store could not tidy up between writes"
    }
    assert failures == []


async def test_closing_answers_what_waits_and_then_closes_the_store(resolver, store) -> None:
    waiting = [asyncio.ensure_future(resolver.append(HERE, [message(one)])) for one in "abc"]
    await asyncio.sleep(0)

    await resolver.close()

    assert await asyncio.gather(*waiting) == [["a"], ["b"], ["c"]]
    assert store.closed == 1
    assert await reason_of(resolver.append(HERE, [message("d")])) is Reason.SERVER_STOPPING


async def test_no_messages_and_no_keys_ask_the_store_nothing(resolver, store) -> None:
    store.failing = {"write": StoreFailed(""), "read": StoreFailed("")}

    assert await resolver.append(HERE, []) == []
    assert await resolver.persons(HERE, []) == []
