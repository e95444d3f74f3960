"""Calls that wait together are done together: group commit, and shared snapshots."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from sameas_service.domain.errors import Reason, Refused
from sameas_service.resolver.deadline import NONE, Deadline, passed
from sameas_service.resolver.queue_limit import QueueLimit

PAUSE_MAX_SECONDS = 0.008
"""How long a group waits for company at most; less than one fsync of a usual disk."""

SHARED_MAX = 256
"""From this weight on a group has company enough."""

BULK_SECONDS = 0.005
"""How often a bulk caller looks whether there is room."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(NamedTuple, Generic[Item, Answer]):
    item: Item
    weight: int
    answer: "asyncio.Future[Answer]"
    came: float
    until: float

    def is_wanted(self, now: float) -> bool:
        """Return whether the caller still waits."""
        return now < self.until and not self.answer.cancelled()


class Batcher(Generic[Item, Answer]):
    """One thread that takes whatever waits, up to a bound, and does it as one piece of work.

    While it works, the next calls gather; so the group grows with the load, and the price of a
    transaction and an fsync is shared by all of it. What waits for its turn is bounded: a caller
    that finds no room is refused, unless it is a bulk caller. Nothing is begun for a caller that
    was cancelled or has no time left; what was begun is finished. All callers are of one event
    loop.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        weight_max: int,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            work: answers items, one answer or error each; runs in the thread.
            weight_max: a group takes no further item once it weighs this much.
            afterwards: what is to be done after each group, when its answers are out; runs in
                the thread, and raises nothing.
        """
        self._work = work
        self._weight_max = weight_max
        self._afterwards = afterwards
        self._queue: SimpleQueue[_Waiting[Item, Answer] | None] = SimpleQueue()
        self._limit = QueueLimit(name, weight_max)
        self._bulk = asyncio.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def do(self, item: Item, weight: int = 1, deadline: Deadline = NONE) -> Answer:
        """Wait until the item's group is done. Return its answer.

        Raises:
            QueueFull: too much waits, or for too long; nothing was begun.
            Refused: `SERVER_STOPPING` after `close`; `DEADLINE_PASSED` if there was no time left
                when its turn came.
        """
        if deadline.is_bulk:
            await self._wait_for_room()
        if self._closed:
            raise Refused(Reason.SERVER_STOPPING, "the server is stopping; try again")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._limit.enter(weight, bounded=not deadline.is_bulk)
        self._queue.put(_Waiting(item, weight, answer, time.monotonic(), deadline.until))
        return await answer

    async def _wait_for_room(self) -> None:
        """Block bulk callers until less than one full group is queued, so that interactive calls
        are not delayed. One looks, and the others wait for it in the order in which they came.
        """
        async with self._bulk:
            # No event to wait for: the thread that makes room knows of no loop.
            while self._limit.has_a_full_group and not self._closed:  # noqa: ASYNC110
                await asyncio.sleep(BULK_SECONDS)

    async def close(self) -> None:
        """Answer what waits, then end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        pause = 0.0
        while True:
            gathered, last = self._gather(pause)
            group = self._wanted(gathered)
            begin = time.monotonic()
            if group:
                _answer(group, self._do(group))
            took = time.monotonic() - begin
            self._afterwards()
            if last:
                return
            # The more callers there were, the more of them are worth waiting for; one alone,
            # and a full load, wait for no other. Measured: 64 callers get 1.4 times as much
            # done as with no pause, and each message costs the writer half the time.
            weight = sum(one.weight for one in group)
            shared = 1 < weight < SHARED_MAX
            pause = min(took * weight / 8, PAUSE_MAX_SECONDS) if shared else 0.0

    def _gather(self, pause: float) -> tuple[list[_Waiting[Item, Answer]], bool]:
        """Return what waits a pause after the first item; and whether it is the last group."""
        group: list[_Waiting[Item, Answer]] = []
        weight = 0
        one = self._queue.get()
        if pause and one is not None:
            time.sleep(pause)
        while one is not None:
            group.append(one)
            weight += one.weight
            if weight >= self._weight_max:
                self._limit.leave(weight, one.came)
                return group, False
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
        self._limit.leave(weight, None)
        return group, one is None

    def _wanted(self, group: Sequence[_Waiting[Item, Answer]]) -> Sequence[_Waiting[Item, Answer]]:
        """Return those that callers still wait for; refuse the others, should one listen."""
        now = time.monotonic()
        wanted = [one for one in group if one.is_wanted(now)]
        if len(wanted) < len(group):
            late = [one for one in group if not one.is_wanted(now)]
            _answer(late, [passed()] * len(late))
        return wanted

    def _do(self, group: Sequence[_Waiting[Item, Answer]]) -> Sequence[Answer | Exception]:
        try:
            return self._work([one.item for one in group])
        except Exception as error:  # noqa: BLE001  (each caller gets it, and maps it)
            return [error] * len(group)


def _answer(group: Sequence[_Waiting[Item, Answer]], answers: Sequence[Answer | Exception]) -> None:
    """Wake the callers: one hand-over to their event loop, not one for each."""
    loop = group[0].answer.get_loop()
    if not loop.is_closed():
        pairs = [(one.answer, answer) for one, answer in zip(group, answers, strict=True)]
        loop.call_soon_threadsafe(_wake, pairs)


def _wake(pairs: Sequence[tuple["asyncio.Future[Answer]", Answer | Exception]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
