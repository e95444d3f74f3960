"""From lines of strace to steps."""

from pathlib import Path

import pytest

from faults.power.steps import DIRECTORY, PARENT, Action, Step, UnforeseenError, steps
from faults.power.syscalls import hexadecimal

DATA = Path("/srv/data")


def _line(at: float, text: str, thread: int = 7) -> str:
    """A line of strace's, with paths and strings put in hexadecimal: `{a}` is a file's path, and
    `'...'` a string.
    """
    names = {"d": DATA, "p": DATA.parent, "a": DATA / "a", "shm": DATA / "a-shm"}
    paths = {name: hexadecimal(str(path)) for name, path in names.items()}
    parts = text.format(**paths).split("'")
    parts[1::2] = [f'"{hexadecimal(part)}"' for part in parts[1::2]]
    return f"{thread} {at:.9f} {''.join(parts)}\n"


def _steps(*lines: str) -> list[Step]:
    return steps(lines, DATA)


def test_calls_become_steps() -> None:
    taken = _steps(
        _line(1, 'mkdir("{d}", 0700) = 0'),
        _line(2, 'openat(AT_FDCWD<{p}>, "{p}", O_RDONLY|O_CLOEXEC) = 3<{p}>'),
        _line(3, "fsync(3<{p}>) = 0"),
        _line(4, 'openat(AT_FDCWD<{p}>, "{a}", O_RDWR|O_CREAT, 0600) = 4<{a}>'),
        _line(5, "pwrite64(4<{a}>, 'one', 3, 40) = 3"),
        _line(6, "ftruncate(4<{a}>, 41) = 0"),
        _line(7, "fdatasync(4<{a}>) = 0"),
        _line(8, "fdatasync(5<{d}>) = 0"),
        _line(9, 'unlink("{a}") = 0'),
    )
    assert [step[:2] for step in taken] == [
        (Action.CREATE, DIRECTORY), (Action.SYNC, PARENT), (Action.CREATE, "a"),
        (Action.WRITE, "a"), (Action.TRUNCATE, "a"), (Action.SYNC, "a"),
        (Action.SYNC, DIRECTORY), (Action.UNLINK, "a"),
    ]  # fmt: skip
    assert taken[3] == Step(Action.WRITE, "a", 5 * 10**9, 4, 4, 40, b"one")
    assert taken[4].offset == 41


def test_what_is_written_short_or_fails_counts_as_far_as_it_went() -> None:
    taken = _steps(
        _line(1, "pwrite64(4<{a}>, 'one', 3, 0) = 2"),
        _line(2, "pwrite64(4<{a}>, 'two', 3, 0) = -1 ENOSPC (No space left on device)"),
        _line(3, "fdatasync(4<{a}>) = -1 EIO (Input/output error)"),
    )
    assert [step.data for step in taken] == [b"on"]


def test_other_files_and_shared_memory_are_left_out() -> None:
    assert not _steps(
        _line(1, "pwrite64(4<{p}>, 'one', 3, 0) = 3".replace("{p}", "{p}\\x2f\\x62")),
        _line(2, "pwrite64(4<{shm}>, 'one', 3, 0) = 3"),
        _line(3, "mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, 4<{shm}>, 0) = 0x7f00"),
        _line(4, "mmap(NULL, 32768, PROT_READ, MAP_SHARED, 4<{a}>, 0) = 0x7f00"),
        _line(5, 'openat(AT_FDCWD<{p}>, "{a}", O_RDONLY) = 4<{a}>'),
        "7 6.000000000 +++ exited with 0 +++\n",
    )


def test_a_split_sync_counts_from_its_end_and_a_split_write_from_its_beginning() -> None:
    taken = _steps(
        _line(1, "fdatasync(4<{a}> <unfinished ...>", thread=7),
        _line(2, "pwrite64(4<{a}>, 'one', 3, 0 <unfinished ...>", thread=8),
        _line(3, "<... fdatasync resumed>) = 0", thread=7),
        _line(4, "<... pwrite64 resumed>) = 3", thread=8),
    )
    assert [(s.action, s.at_ns, s.began, s.ended) for s in taken] == [
        (Action.WRITE, 2 * 10**9, 1, 3),
        (Action.SYNC, 3 * 10**9, 0, 2),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "write(4<{a}>, 'one', 3) = 3",
        "pwritev(4<{a}>, [{{iov_base='one', iov_len=3}}], 1, 0) = 3",
        "fallocate(4<{a}>, 0, 0, 4096) = 0",
        'rename("{a}", "{a}") = 0',
        'openat(AT_FDCWD<{p}>, "{a}", O_RDWR|O_CREAT|O_TRUNC, 0600) = 4<{a}>',
        "mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, 4<{a}>, 0) = 0x7f00",
        "pwrite64(4<{a}>(deleted), 'one', 3, 0) = 3",
        "pwrite64(4<{a}>, 'one', 3, 0 <unfinished ...>",
        "pwrite64(4<{a}>, 'one', 4096, 0) = 4096",
    ],
)
def test_a_call_that_the_simulator_does_not_know_is_not_passed_over(text: str) -> None:
    with pytest.raises(UnforeseenError):
        _steps(_line(1, text))
