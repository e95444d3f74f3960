"""No kind's number stands anywhere but in the one table: with others all is the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from store.renumbered import NUMBERINGS

SCRIPT = Path(__file__).with_name("renumbered.py")


def said(numbering: str) -> str:
    """What the script prints that makes a store, the model, the past and an export of histories."""
    command = [sys.executable, str(SCRIPT), numbering]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout


@pytest.fixture(scope="module")
def expected() -> str:
    """With the numbers that there are."""
    return said("as they are")


@pytest.mark.parametrize("numbering", [name for name in NUMBERINGS if name != "as they are"])
def test_other_numbers_of_the_kinds_change_no_answer(expected: str, numbering: str) -> None:
    assert len(expected.splitlines()) > 10
    assert said(numbering) == expected


def test_the_numbers_are_others_and_each_is_one_kinds() -> None:
    numbers = {
        name: [change(number) for number in range(1, 11)] for name, change in NUMBERINGS.items()
    }

    assert numbers["as they are"] == list(range(1, 11))
    assert all(len(set(found)) == 10 and min(found) > 0 for found in numbers.values())
    assert len({tuple(found) for found in numbers.values()}) == len(NUMBERINGS)
