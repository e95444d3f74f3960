"""Rounds of histories side by side on one server, to which things happen meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import NamedTuple

from linear.checker import shrunk, violation_of
from linear.history import text_of
from linear.planning import CALLERS, CALLS
from linear.recording import History
from linear.specification import DUPLICATE, Identity, Write
from linear.subject import Subject

SIDE_BY_SIDE = 8
"""Histories of a round; each has ids of its own."""

PAUSE_SECONDS = (0.05, 0.15)
IMPATIENCE_SECONDS = 0.04
"""How long most callers wait in a round with a pause: not to its end."""


class Fault(Enum):
    """What happens to the server in a round."""

    NONE = "undisturbed"
    PAUSE = "paused by SIGSTOP"
    KILL = "killed by SIGKILL"


ROUNDS = (Fault.NONE, Fault.KILL, Fault.NONE, Fault.PAUSE, Fault.NONE, Fault.PAUSE)
"""The faults of the rounds, over and over."""


class Round(NamedTuple):
    """Histories that were recorded side by side, and what happened meanwhile."""

    fault: Fault
    histories: Sequence[History]

    def violation(self) -> str:
        """What there is to say of the first history that is not linearizable; empty where all
        are. The seed gives its calls again, but not their timing.
        """
        for history in self.histories:
            identity = Identity()
            violation = violation_of(history.operations, identity)
            if violation is not None:
                return (
                    f"The history of seed {history.seed} ({self.fault.value}) is not "
                    f"linearizable. Shrunk:\n{shrunk(violation, identity)}\n\n"
                    f"In full:\n{text_of(history.operations)}"
                )
        return ""

    def counts(self) -> Counter[str]:
        """How eventful the histories were."""
        found: Counter[str] = Counter({self.fault.value: len(self.histories)})
        for one in (one for history in self.histories for one in history.operations):
            found["operations"] += 1
            is_write = isinstance(one.call, Write)
            found["writes without an answer"] += is_write and not one.is_known
            found["duplicates"] += is_write and one.is_known and DUPLICATE in one.answer
        return found


async def rounds(
    subject: Subject, seed: int, count: int, faults: Sequence[Fault]
) -> AsyncIterator[Round]:
    """Records at least so many histories; their seeds count up from the one given."""
    for number, first in enumerate(range(seed, seed + count, SIDE_BY_SIDE)):
        fault = faults[number % len(faults)]
        histories = [History(first + n, subject) for n in range(SIDE_BY_SIDE)]
        impatience = IMPATIENCE_SECONDS if fault is Fault.PAUSE else None
        async with asyncio.TaskGroup() as group:
            for history in histories:
                group.create_task(history.record(impatience))
            group.create_task(_disturb(subject, fault, random.Random(first)))
        yield Round(fault, histories)


async def _disturb(subject: Subject, fault: Fault, choose: random.Random) -> None:
    """Lets the fault happen in the midst of the round's calls."""
    if fault is Fault.NONE:
        return
    calls = SIDE_BY_SIDE * CALLERS * CALLS
    await subject.bell(round(choose.uniform(0.2, 0.8) * calls)).wait()
    if fault is Fault.KILL:
        await subject.kill()
    else:
        await subject.pause(choose.uniform(*PAUSE_SECONDS))
