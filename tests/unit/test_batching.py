"""Group commit: what waits together is done together, and no caller is left without an answer."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from sameas_service.domain.errors import Reason, Refused
from sameas_service.resolver import queue_limit
from sameas_service.resolver.batching import Batcher
from sameas_service.resolver.deadline import Deadline, QueueFull

SECONDS = 5.0


class Work:
    """Doubles numbers; keeps its groups, and holds each back until the gate is open."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(items))
        self.threads.add(threading.current_thread().name)
        self.began.release()
        assert self.gate.wait(SECONDS)
        if 13 in items:
            raise ValueError("thirteen")
        return [KeyError(item) if item < 0 else item * 2 for item in items]

    async def has_begun(self) -> None:
        """Waits until a group is under way."""
        assert await asyncio.to_thread(self.began.acquire, timeout=SECONDS)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def batcher(work: Work):
    made = Batcher("doubling", work, weight_max=10)
    yield made
    work.gate.set()
    await made.close()


async def within(*tasks: asyncio.Task, return_exceptions: bool = False) -> list:
    """The answers, which must come soon."""
    waiting = asyncio.gather(*tasks, return_exceptions=return_exceptions)
    return await asyncio.wait_for(waiting, SECONDS)


async def held(batcher: Batcher, work: Work, *items: int, weight: int = 1) -> list[asyncio.Task]:
    """Calls that wait while a first one, of the item 0, is under way."""
    work.gate.clear()
    tasks = [asyncio.create_task(batcher.do(0))]
    await work.has_begun()
    tasks += [asyncio.create_task(batcher.do(item, weight)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_one_call_alone_is_answered_at_once(batcher, work) -> None:
    assert await batcher.do(21) == 42
    assert (work.groups, work.threads) == ([[21]], {"doubling"})


async def test_calls_that_wait_together_share_one_piece_of_work(batcher, work) -> None:
    tasks = await held(batcher, work, 1, 2, 3)

    work.gate.set()

    assert await within(*tasks) == [0, 2, 4, 6]
    assert work.groups == [[0], [1, 2, 3]]


async def test_a_group_ends_with_the_call_that_makes_it_heavy_enough(batcher, work) -> None:
    tasks = await held(batcher, work, 1, 2, 3, 4, 5, weight=4)

    work.gate.set()
    await within(*tasks)

    assert work.groups == [[0], [1, 2, 3], [4, 5]]


async def test_nothing_is_begun_for_a_cancelled_caller_and_the_others_are_answered(
    batcher, work
) -> None:
    first, one, two, three = await held(batcher, work, 1, 2, 3)

    two.cancel()
    with pytest.raises(asyncio.CancelledError):
        await two
    work.gate.set()

    assert await within(first, one, three) == [0, 2, 6]
    assert work.groups == [[0], [1, 3]]


async def test_what_was_begun_for_a_caller_that_is_then_cancelled_is_finished(
    batcher, work
) -> None:
    (first,) = await held(batcher, work)

    first.cancel()
    work.gate.set()

    assert await batcher.do(1) == 2
    assert work.groups == [[0], [1]]


async def test_nothing_is_begun_for_a_caller_whose_time_is_over(batcher, work) -> None:
    async def ask(item: int, seconds: float) -> int:
        return await batcher.do(item, deadline=Deadline(time.monotonic() + seconds))

    (first,) = await held(batcher, work)
    late, soon = (asyncio.create_task(ask(*one)) for one in ((1, 0.02), (2, 10.0)))
    await asyncio.sleep(0.05)
    work.gate.set()
    answers = await within(first, late, soon, return_exceptions=True)

    assert answers[::2] == [0, 4]
    assert isinstance(answers[1], Refused)
    assert answers[1].reason is Reason.DEADLINE_PASSED
    assert work.groups == [[0], [2]]


async def test_nobody_is_let_in_behind_one_that_has_waited_too_long(
    batcher, work, monkeypatch
) -> None:
    monkeypatch.setattr(queue_limit, "WAITING_SECONDS_MAX", 0.05)
    first, second = await held(batcher, work, 1)

    assert await let_in(batcher, 2)
    await asyncio.sleep(0.06)
    assert not await let_in(batcher, 3)
    work.gate.set()
    await within(first, second)

    assert await batcher.do(4) == 8
    assert work.groups == [[0], [1], [4]]


async def test_one_that_waits_for_a_single_long_work_is_not_too_late(
    batcher, work, monkeypatch
) -> None:
    monkeypatch.setattr(queue_limit, "WAITING_SECONDS_MAX", 0.05)
    (first,) = await held(batcher, work)
    await asyncio.sleep(0.06)

    second = asyncio.create_task(batcher.do(1))
    await asyncio.sleep(0)
    work.gate.set()

    assert await within(first, second) == [0, 2]


async def test_bulk_callers_are_not_refused_and_leave_room_for_others(batcher, work) -> None:
    async def ask(item: int) -> int:
        return await batcher.do(item, 10, Deadline(is_bulk=True))

    (first,) = await held(batcher, work)
    bulk = [asyncio.create_task(ask(item)) for item in (1, 2, 3)]
    await asyncio.sleep(0.03)
    hasty = asyncio.create_task(batcher.do(4))
    await asyncio.sleep(0.03)
    work.gate.set()

    assert await within(first, *bulk, hasty) == [0, 2, 4, 6, 8]
    assert work.groups.index([1]) < next(n for n, group in enumerate(work.groups) if 4 in group)
    assert next(n for n, group in enumerate(work.groups) if 4 in group) < work.groups.index([3])


async def let_in(batcher: Batcher, item: int) -> bool:
    """Whether a caller may wait; it stops waiting at once."""
    task = asyncio.create_task(batcher.do(item))
    await asyncio.sleep(0.01)
    if task.done():
        assert isinstance(task.exception(), QueueFull)
        return False
    task.cancel()
    return True


async def test_an_error_of_one_item_reaches_its_caller_alone(batcher, work) -> None:
    tasks = await held(batcher, work, 1, -2, 3)

    work.gate.set()
    answers = await within(*tasks, return_exceptions=True)

    assert [repr(answer) for answer in answers] == ["0", "2", "KeyError(-2)", "6"]


async def test_an_error_of_the_work_reaches_its_whole_group_and_no_other(batcher, work) -> None:
    tasks = await held(batcher, work, 1, 13)

    work.gate.set()
    answers = await within(*tasks, return_exceptions=True)

    assert answers[0] == 0
    assert [repr(answer) for answer in answers[1:]] == ["ValueError('thirteen')"] * 2
    assert await batcher.do(4) == 8


async def test_close_answers_what_waits_and_refuses_what_comes_later(batcher, work) -> None:
    tasks = await held(batcher, work, 1, 2)

    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(Refused) as caught:
        await batcher.do(3)
    work.gate.set()
    await closing

    assert caught.value.reason is Reason.SERVER_STOPPING
    assert await within(*tasks) == [0, 2, 4]
    assert work.groups == [[0], [1, 2]]


async def test_close_may_be_called_twice_and_ends_the_thread(work) -> None:
    made = Batcher("closing", work, weight_max=10)

    await made.close()
    await made.close()

    assert "closing" not in {thread.name for thread in threading.enumerate()}


async def test_a_caller_whose_loop_is_gone_takes_nobody_along(batcher, work) -> None:
    work.gate.clear()

    def ask_and_leave() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(batcher.do(1))
        loop.run_until_complete(asyncio.sleep(0.01))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    await asyncio.to_thread(ask_and_leave)
    await work.has_begun()
    other = asyncio.create_task(batcher.do(2))
    work.gate.set()

    assert await asyncio.wait_for(other, SECONDS) == 4


async def test_many_callers_all_get_their_own_answer(work) -> None:
    batcher = Batcher("many", work, weight_max=100)

    async def ask(start: int) -> list[int]:
        return await asyncio.gather(*(batcher.do(100 + start + n) for n in range(100)))

    answers = await asyncio.gather(*(ask(start) for start in range(0, 800, 100)))

    await batcher.close()
    assert [one for part in answers for one in part] == [2 * (100 + n) for n in range(800)]
    assert len(work.groups) < 800
