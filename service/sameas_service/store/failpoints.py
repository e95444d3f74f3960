"""Named points of the writer at which a test makes the process die, fail or wait.

They are set once, at start, by the environment alone: no call can set one. Where none is set,
which is everywhere but in tests, a point costs a look at one variable.
"""

import logging
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

log = logging.getLogger(__name__)

VARIABLE = "SAMEAS_FAILPOINTS"

_PLAN = re.compile(r"(?P<point>[a-z-]+)=(?P<action>kill|raise|sleep:[0-9.]+)(?:@(?P<time>[0-9]+))?")


class Failpoint(StrEnum):
    """The points: around a group's transaction, and around a checkpoint."""

    BEFORE_BEGIN = "before-begin"
    AFTER_BEGIN = "after-begin"
    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    """The group is on disk, and no caller has an answer."""
    AFTER_ANSWER = "after-answer"
    CHECKPOINT_BEGIN = "checkpoint-begin"
    CHECKPOINT_END = "checkpoint-end"


class FailpointError(Exception):
    """What the action `raise` raises."""


class UnreadableError(Exception):
    """What the environment says of failpoints cannot be read."""


class Visit(NamedTuple):
    """A point, and which time that it is reached; 1 is the first."""

    point: Failpoint
    time: int


class _Set:
    """The points that are set, and how often each was reached."""

    def __init__(self, actions: Sequence[tuple[Visit, str]]) -> None:
        self._actions = actions
        self._reached: Counter[Failpoint] = Counter()

    def reach(self, point: Failpoint) -> None:
        self._reached[point] += 1
        visit = Visit(point, self._reached[point])
        for action in [action for planned, action in self._actions if planned == visit]:
            log.warning("failpoint %s: %s", point, action)
            _act(point, action)


_set: _Set | None = None


def at(point: Failpoint) -> None:
    """Note that the writer is at a point, and do what is set for it."""
    if _set is not None:
        _set.reach(point)


def set_up(environment: Mapping[str, str]) -> None:
    """Set what the variable `SAMEAS_FAILPOINTS` says: `point=action@time`, comma-separated.

    The action is `kill`, `raise` or `sleep:SECONDS`; it happens once, at the given time that
    the point is reached, or at the first. Several of the same time happen in their order.

    Raises:
        UnreadableError: naming what cannot be read, and the points that there are.
    """
    global _set  # noqa: PLW0603  (one process has one writer)
    text = environment.get(VARIABLE, "")
    _set = _Set([_planned(one) for one in text.split(",")]) if text else None
    if text:
        log.warning("%s=%s: this server is for tests, and fails on purpose", VARIABLE, text)


def _planned(text: str) -> tuple[Visit, str]:
    found = _PLAN.fullmatch(text.strip())
    points = [point.value for point in Failpoint]
    if found is None or found["point"] not in points:
        raise UnreadableError(
            f"{VARIABLE}: {text!r} is not point=kill, point=raise or point=sleep:SECONDS, with "
            f"or without @TIME, of a point among {', '.join(points)}"
        )
    return Visit(Failpoint(found["point"]), int(found["time"] or 1)), found["action"]


def _act(point: Failpoint, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise FailpointError(point)
    time.sleep(float(action.removeprefix("sleep:")))
