"""Calls that wait together are done together: group commit, and shared snapshots."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from sameas_service.domain.errors import Reason, Refused
from sameas_service.resolver.waiting import expired, patient, until
from sameas_service.store.sqlite.room import Room

PAUSE_MAX_SECONDS = 0.008
"""How long a group waits for company at most; less than one fsync of a usual disk."""

SHARED_MAX = 256
"""From this weight on a group has company enough."""

OUTSIDE_SECONDS = 0.005
"""How often a patient caller looks whether there is room."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(NamedTuple, Generic[Item, Answer]):
    item: Item
    weight: int
    answer: "asyncio.Future[Answer]"
    loop: asyncio.AbstractEventLoop
    came: float
    until: float

    def is_wanted(self, now: float) -> bool:
        """Whether the caller still waits."""
        return now < self.until and not self.answer.cancelled()


class _Answered(NamedTuple, Generic[Answer]):
    future: "asyncio.Future[Answer]"
    answer: Answer | Exception


class Together(Generic[Item, Answer]):
    """One thread that takes whatever waits, up to a bound, and does it as one piece of work.

    While it works, the next calls gather; so the group grows with the load, and the price of
    a transaction and an fsync is shared by all of it. What waits for its turn is bounded: a
    caller finds no room then, unless it is patient. Nothing is begun for a caller that was
    cancelled, or whose time is over (see `resolver.waiting`); what was begun is finished.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        weight_max: int,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts the thread.

        Args:
            name: of the thread.
            work: answers items, one answer or error each; runs in the thread.
            weight_max: a group takes no further item once it weighs this much.
            afterwards: what is to be done behind each group, when its answers are out; runs
                in the thread, and raises nothing.
        """
        self._work = work
        self._weight_max = weight_max
        self._afterwards = afterwards
        self._queue: SimpleQueue[_Waiting[Item, Answer] | None] = SimpleQueue()
        self._room = Room(name, weight_max)
        self._outside = asyncio.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def do(self, item: Item, weight: int = 1) -> Answer:
        """Waits until the item's group is done; its answer.

        Raises:
            QueueFull: too much waits, or for too long; nothing was begun.
            Refused: `SERVER_STOPPING` after `close`; `OVERLOADED` if the caller's time was over.
        """
        is_patient = patient.get()
        if is_patient:
            await self._wait_outside()
        if self._closed:
            raise Refused(Reason.SERVER_STOPPING, "the server is stopping; try again")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._room.enter(weight, bounded=not is_patient)
        self._queue.put(_Waiting(item, weight, answer, loop, time.monotonic(), until.get()))
        return await answer

    async def _wait_outside(self) -> None:
        """Until the queue has less than the next group: who is in no hurry leaves it short for
        those who are. One looks, and the others stand behind in the order in which they came.
        """
        async with self._outside:
            # No event to wait for: the thread that makes room knows of no loop.
            while self._room.has_a_full_group and not self._closed:  # noqa: ASYNC110
                await asyncio.sleep(OUTSIDE_SECONDS)

    async def close(self) -> None:
        """Answers what waits, then ends the thread."""
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
                self._answer(group, self._do(group))
            took = time.monotonic() - begin
            self._afterwards()
            if last:
                return
            # The more callers there were, the more of them are worth waiting for; one alone,
            # and a full load, wait for nobody. Measured: 64 callers get 1.4 times as much
            # done as with no pause, and each message costs the writer half the time.
            weight = sum(one.weight for one in group)
            shared = 1 < weight < SHARED_MAX
            pause = min(took * weight / 8, PAUSE_MAX_SECONDS) if shared else 0.0

    def _gather(self, pause: float) -> tuple[list[_Waiting[Item, Answer]], bool]:
        """What waits a pause after the first item; and whether it is the last group."""
        group: list[_Waiting[Item, Answer]] = []
        weight = 0
        one = self._queue.get()
        if pause and one is not None:
            time.sleep(pause)
        while one is not None:
            group.append(one)
            weight += one.weight
            if weight >= self._weight_max:
                self._room.leave(weight, one.came)
                return group, False
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
        self._room.leave(weight, None)
        return group, one is None

    def _wanted(self, group: Sequence[_Waiting[Item, Answer]]) -> Sequence[_Waiting[Item, Answer]]:
        """Those whose callers still wait. The others are answered, should one of them listen."""
        now = time.monotonic()
        wanted = [one for one in group if one.is_wanted(now)]
        if len(wanted) < len(group):
            late = [one for one in group if not one.is_wanted(now)]
            self._answer(late, [expired()] * len(late))
        return wanted

    def _do(self, group: Sequence[_Waiting[Item, Answer]]) -> Sequence[Answer | Exception]:
        try:
            return self._work([one.item for one in group])
        except Exception as error:  # noqa: BLE001  (each caller gets it, and maps it)
            return [error] * len(group)

    def _answer(
        self,
        group: Sequence[_Waiting[Item, Answer]],
        answers: Sequence[Answer | Exception],
    ) -> None:
        """Wakes the callers: one hand-over to each event loop, not one a caller."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Answered[Answer]]] = {}
        for one, answer in zip(group, answers, strict=True):
            by_loop.setdefault(one.loop, []).append(_Answered(one.answer, answer))
        for loop, pairs in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, pairs)


def _wake(pairs: Sequence[_Answered[Answer]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
