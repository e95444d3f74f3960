"""A real server, killed and paused under concurrent calls, answers as if it took one at a time.

`SAMEAS_TEST_HISTORIES` and `SAMEAS_TEST_SEED` make a longer run, or another.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from linear.broken import BUGS
from linear.campaign import ROUNDS, SIDE_BY_SIDE, Fault, rounds
from linear.subject import subject

HISTORIES = int(os.environ.get("SAMEAS_TEST_HISTORIES", "200"))
SEED = int(os.environ.get("SAMEAS_TEST_SEED", "1"))
SEARCHED_MAX = 10 * SIDE_BY_SIDE
"""Histories within which a bug must be seen."""


async def test_every_history_is_linearizable() -> None:
    counts: Counter[str] = Counter()
    async with subject() as server:
        async for one in rounds(server, SEED, HISTORIES, ROUNDS):
            violation = one.violation()
            assert not violation, f"{violation}\n\nThe server's log ends so:\n{server.log()}"
            for history in one.histories:
                assert not history.differing(), f"outcomes in the history of seed {history.seed}"
            counts += one.counts()

    print(f"\nfrom seed {SEED}: {dict(counts)}")  # noqa: T201 - for who reads with -s
    assert counts["operations"] > 40 * HISTORIES
    assert counts["writes without an answer"] > HISTORIES // 2, "too little was left open"
    assert counts["duplicates"] > HISTORIES, "too little was repeated"


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_is_seen(bug: str) -> None:
    launcher = str(Path(__file__).with_name("broken.py"))
    faults = [Fault.KILL if bug == "lost" else Fault.NONE]
    async with subject(sys.executable, launcher, bug) as server:
        async for one in rounds(server, SEED, SEARCHED_MAX, faults):
            if violation := one.violation():
                print(f"\n{bug}: {violation}")  # noqa: T201 - for who reads with -s
                return
    raise AssertionError(f"{SEARCHED_MAX} histories of a server with the bug {bug!r} looked right")
