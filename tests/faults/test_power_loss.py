"""Power loss: what was acknowledged is there, whatever a disk may have left of the unsynced.

The longer campaign is `make power IMAGES=100000 SEED=7`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path

import pytest

from faults.power import syscalls
from faults.power.campaign import Tally, try_images, workers
from faults.power.recorder import record

IMAGES = int(os.environ.get("SAMEAS_TEST_IMAGES") or 2_000)
SEED = int(os.environ.get("SAMEAS_TEST_SEED") or 20_261_121)
IMAGES_OF_A_RECORDING = 10_000
"""Beyond so many, other clients write something else."""

FAULTY_IMAGES, FAULTY_CALLS = 120, 12
"""Of a server with a seeded fault, which shows in far fewer."""


def _is_traceable() -> bool:
    """Whether strace is here and may trace."""
    if shutil.which("strace") is None:
        return False
    command = [*syscalls.command(Path(os.devnull)), "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(
    not _is_traceable(),
    reason="STRACE IS NOT HERE OR MAY NOT TRACE: no power loss was simulated; "
    "apt-get install strace, and in a container allow ptrace (--cap-add SYS_PTRACE)",
)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with workers() as started:
        yield started


def _tried(pool: Pool, directory: Path, fault: str) -> Tally:
    """A few images of a server with a fault."""
    (directory / "data").mkdir()
    recording = record(directory, SEED, fault, FAULTY_CALLS)
    tally = try_images(pool, recording, FAULTY_IMAGES, SEED)
    print(f"\n{fault}: {tally}")  # noqa: T201
    return tally


def test_nothing_acknowledged_is_lost_and_nothing_is_damaged(pool: Pool, tmp_path: Path) -> None:
    total = Tally()
    for number, first in enumerate(range(0, IMAGES, IMAGES_OF_A_RECORDING)):
        directory = tmp_path / f"recording-{number}"
        (directory / "data").mkdir(parents=True)
        images = min(IMAGES - first, IMAGES_OF_A_RECORDING)
        total.add(try_images(pool, record(directory, SEED + number), images, SEED + number))
        shutil.rmtree(directory)
    print(f"\nseed {SEED}: {total}")  # noqa: T201
    assert not total.problems, f"seed {SEED}: {total}\n{total.keep_examples(tmp_path)}"
    assert total.images == IMAGES
    # That it had something to find: the images differ, and not all are of a quiet moment.
    assert len(total.distinct) > IMAGES / 2
    assert len(total.recovered) > min(50, IMAGES / 40)
    assert total.in_checkpoint > IMAGES / 20


def test_a_data_directory_that_the_server_makes_lasts_too(pool: Pool, tmp_path: Path) -> None:
    tally = try_images(pool, record(tmp_path, SEED, calls=2), FAULTY_IMAGES, SEED)
    assert not tally.problems, f"seed {SEED}: {tally}\n{tally.keep_examples(tmp_path)}"


def test_commits_that_are_not_synced_are_seen_to_be_lost(pool: Pool, tmp_path: Path) -> None:
    tally = _tried(pool, tmp_path, "normal")
    assert tally.problems["lost"] > FAULTY_IMAGES / 4
    assert set(tally.problems) == {"lost"}, "NORMAL loses the last commits and damages nothing"


def test_a_database_that_is_never_synced_is_seen_to_be_damaged(pool: Pool, tmp_path: Path) -> None:
    tally = _tried(pool, tmp_path, "off")
    assert tally.problems["lost"] > 0
    assert tally.problems["unopened"] + tally.problems["damaged"] > 0


def test_an_answer_before_the_commit_is_seen_to_be_lost(pool: Pool, tmp_path: Path) -> None:
    assert _tried(pool, tmp_path, "early").problems["lost"] > FAULTY_IMAGES / 4


def test_a_batch_in_several_transactions_is_seen_to_be_torn(pool: Pool, tmp_path: Path) -> None:
    tally = _tried(pool, tmp_path, "split")
    assert tally.problems["torn"] > 0
    assert tally.problems["lost"] == 0
