"""What a power cut may leave of a few steps: exactly what the disk's promises allow."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from faults.power.disk import SECTOR_BYTES, Disk
from faults.power.steps import DIRECTORY, PARENT, Action, Step

TRIES = 400

Image = tuple[tuple[str, bytes], ...]


def _in_order(*steps: Step) -> list[Step]:
    """Steps one after the other, each ended before the next begins."""
    return [step._replace(began=line, ended=line) for line, step in enumerate(steps)]


def _left(steps: Sequence[Step]) -> set[Image]:
    """Everything that many cuts behind the last step leave."""
    disk = Disk()
    for step in steps:
        disk.take(step)
    return {
        tuple(sorted(disk.after_a_cut(random.Random(number)).items())) for number in range(TRIES)
    }


def _contents(steps: Sequence[Step]) -> set[bytes]:
    """The same of the one file, which must be there each time."""
    images = _left(steps)
    assert {tuple(name for name, _ in image) for image in images} == {("a",)}
    return {image[0][1] for image in images}


def _created(*steps: Step) -> list[Step]:
    """Steps of a file `a` whose name lasts."""
    return _in_order(Step(Action.CREATE, "a"), SYNC_DIRECTORY, *steps)


def _write(offset: int, data: bytes) -> Step:
    return Step(Action.WRITE, "a", offset=offset, data=data)


SYNC = Step(Action.SYNC, "a")
SYNC_DIRECTORY = Step(Action.SYNC, DIRECTORY)


def test_a_synced_write_is_in_every_image() -> None:
    assert _contents(_created(_write(0, b"one"), SYNC)) == {b"one"}


def test_an_unsynced_write_is_in_some_images_and_not_in_others() -> None:
    left = _contents(_created(_write(0, b"one"), SYNC, _write(0, b"two")))
    assert left == {b"one", b"two"}


def test_unsynced_writes_arrive_in_any_combination() -> None:
    left = _contents(_created(_write(0, b"--"), SYNC, _write(0, b"A"), _write(1, b"B")))
    assert left == {b"--", b"A-", b"-B", b"AB"}


def test_a_later_write_may_be_lost_under_an_earlier_one() -> None:
    left = _contents(_created(_write(0, b"0"), SYNC, _write(0, b"1"), _write(0, b"2")))
    assert left == {b"0", b"1", b"2"}


def test_a_write_is_torn_at_sectors_of_the_file_and_nowhere_else() -> None:
    size = 3 * SECTOR_BYTES
    steps = _created(_write(0, b"-" * size), SYNC, _write(100, b"x" * (size - 200)))
    ends = [100, SECTOR_BYTES, 2 * SECTOR_BYTES, size - 100]
    pieces = set()
    for content in _contents(steps):
        assert content[:100] == content[-100:] == b"-" * 100
        parts = [content[a:b] for a, b in pairwise(ends)]
        assert all(len(set(part)) == 1 for part in parts)
        pieces.add("".join(chr(part[0]) for part in parts))
    assert pieces == {"---", "x--", "-x-", "--x", "xx-", "x-x", "-xx", "xxx"}


def test_a_file_may_have_grown_by_a_write_that_is_lost() -> None:
    assert _contents(_created(_write(0, b"one"))) == {b"", b"\0\0\0", b"one"}


def test_a_truncation_lasts_by_a_sync_alone() -> None:
    shorter = Step(Action.TRUNCATE, "a", offset=1)
    assert _contents(_created(_write(0, b"one"), SYNC, shorter)) == {b"one", b"o"}
    assert _contents(_created(_write(0, b"one"), SYNC, shorter, SYNC)) == {b"o"}


def test_a_truncation_beyond_the_end_fills_with_zeros() -> None:
    longer = Step(Action.TRUNCATE, "a", offset=5)
    assert _contents(_created(_write(0, b"one"), longer, SYNC)) == {b"one\0\0"}


def test_a_new_name_lasts_by_a_sync_of_its_directory_alone() -> None:
    steps = _in_order(Step(Action.CREATE, "a"), _write(0, b"one"), SYNC)
    assert _left(steps) == {(), (("a", b"one"),)}
    assert _left([*steps, SYNC_DIRECTORY._replace(began=9, ended=9)]) == {(("a", b"one"),)}


def test_a_removed_name_may_come_back_with_what_lasted() -> None:
    steps = _created(_write(0, b"one"), SYNC, Step(Action.UNLINK, "a"))
    assert _left(steps) == {(), (("a", b"one"),)}
    assert _left([*steps, SYNC_DIRECTORY._replace(began=9, ended=9)]) == {()}


def test_a_name_made_again_may_stand_for_the_former_file() -> None:
    steps = _created(
        _write(0, b"one"), SYNC, Step(Action.UNLINK, "a"),
        Step(Action.CREATE, "a"), _write(0, b"two"), SYNC,
    )  # fmt: skip
    assert _left(steps) == {(), (("a", b"one"),), (("a", b"two"),)}


def test_opening_a_file_that_is_there_makes_none() -> None:
    steps = _created(_write(0, b"one"), SYNC, Step(Action.CREATE, "a"))
    assert _contents(steps) == {b"one"}


def test_a_new_directory_lasts_by_a_sync_of_the_one_it_stands_in_alone() -> None:
    made = Step(Action.CREATE, DIRECTORY)
    file = [Step(Action.CREATE, "a"), SYNC_DIRECTORY, _write(0, b"one"), SYNC]
    assert _left(_in_order(made, *file)) == {(), (("a", b"one"),)}
    assert _left(_in_order(made, Step(Action.SYNC, PARENT), *file)) == {(("a", b"one"),)}


@pytest.mark.parametrize("began", [3, 4])
def test_a_sync_covers_no_write_that_ended_after_it_began(began: int) -> None:
    write = _write(0, b"one")._replace(began=2, ended=5)
    sync = SYNC._replace(began=began, ended=8)
    left = _contents([*_created(), write, sync])
    assert b"" in left
    assert b"one" in left
