"""Many images of one recording, made and judged by several processes."""

import multiprocessing
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import NamedTuple

from faults.power.disk import Disk
from faults.power.judging import Judge, digest
from faults.power.recording import Recording
from sameas_service.store.sqlite.store import FILE

PROCESSES = 2
PARTS = 8
"""Into how many stretches the recording is cut: later images are larger, so more than two."""

EXAMPLES = 5
"""How many images with a problem are kept."""

_MEMORY = Path("/dev/shm")


class Cut(NamedTuple):
    """An image to make: behind how many steps, and its number, which seeds the dice."""

    behind: int
    number: int


class Example(NamedTuple):
    """An image with a problem, and what is wrong with it."""

    cut: Cut
    problems: list[str]
    image: dict[str, bytes]


@dataclass
class Tally:
    """What became of the images.

    Attributes:
        images: how many there were.
        distinct: digests of those that differ.
        recovered: digests of the databases that the product made of them.
        in_checkpoint: how many were cut off with a checkpoint's writes not yet synced.
        problems: how many had a problem, by the problem's first word.
        examples: a few of those.
    """

    images: int = 0
    distinct: set[bytes] = field(default_factory=set)
    recovered: set[bytes] = field(default_factory=set)
    in_checkpoint: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Counts another's images in."""
        self.images += other.images
        self.distinct |= other.distinct
        self.recovered |= other.recovered
        self.in_checkpoint += other.in_checkpoint
        self.problems += other.problems
        self.examples = (self.examples + other.examples)[:EXAMPLES]

    def keep_examples(self, directory: Path) -> str:
        """Writes the examples' images to directories of their own; says what is where."""
        lines = []
        for cut, problems, image in self.examples:
            place = directory / f"image-{cut.behind}-{cut.number}"
            place.mkdir(parents=True)
            for name, content in image.items():
                (place / name).write_bytes(content)
            lines.append(f"{place}: {'; '.join(problems)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return (
            f"{self.images} images, {len(self.distinct)} distinct, {self.in_checkpoint} within a "
            f"checkpoint, {len(self.recovered)} databases recovered; "
            f"problems: {dict(self.problems) or 'none'}"
        )


@contextmanager
def workers() -> Iterator[Pool]:
    """Processes to judge images in. Not forked: a process with gRPC in it has threads."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        yield pool


def try_images(pool: Pool, recording: Recording, images: int, seed: int) -> Tally:
    """Cuts the power at random places, and judges what is left each time."""
    choose = random.Random(seed)
    steps = len(recording.steps)
    cuts = sorted(Cut(choose.randint(0, steps), number) for number in range(images))
    size = -(-len(cuts) // PARTS)
    parts = [cuts[at : at + size] for at in range(0, len(cuts), size)]
    total = Tally()
    for tally in pool.imap_unordered(partial(_try_part, recording, seed), parts):
        total.add(tally)
    return total


def _try_part(recording: Recording, seed: int, cuts: list[Cut]) -> Tally:
    """Judges a few images, in the order of the recording."""
    tally, disk, taken = Tally(), Disk(), 0
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        judge = Judge(recording, Path(directory))
        for cut in cuts:
            for step in recording.steps[taken : cut.behind]:
                disk.take(step)
            taken = cut.behind
            image = disk.after_a_cut(random.Random(f"{seed} {cut.number}"))
            problems = judge.problems(image, _moment(recording, cut.behind))
            tally.images += 1
            tally.distinct.add(digest(image))
            tally.in_checkpoint += disk.pending(FILE) > 0
            tally.problems.update({problem.split(":")[0] for problem in problems})
            if problems and len(tally.examples) < EXAMPLES:
                tally.examples.append(Example(cut, problems, image))
        tally.recovered = set(judge.known)
    return tally


def _moment(recording: Recording, behind: int) -> int:
    """The Unix time, in ns, of the last moment before the next step had an effect; behind the
    last one, of the last answer.
    """
    if behind < len(recording.steps):
        return recording.steps[behind].at_ns
    return recording.acknowledged[-1].at_ns + 1
