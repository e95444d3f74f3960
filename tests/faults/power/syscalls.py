"""strace's record of a process, as calls in the order of their effects."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TRACED = (
    "open", "openat", "creat", "mkdir", "mkdirat", "write", "writev", "pwrite64",
    "pwritev", "pwritev2", "fsync", "fdatasync", "sync_file_range", "syncfs", "ftruncate",
    "truncate", "fallocate", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link",
    "linkat", "symlink", "symlinkat", "mmap", "msync", "copy_file_range", "sendfile", "splice",
)  # fmt: skip
"""Every call that can change a file, or make a change lasting."""

DATA_BYTES_MAX = 1 << 20
"""How much of a write is recorded; more than SQLite or the server write at once."""

_LINE = re.compile(r"(\d+) +(\d+)\.(\d{9}) (.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_ENDED = re.compile(r"^(\d+) .* \+\+\+ (?:exited with|killed by) ", re.MULTILINE)


class Call(NamedTuple):
    """One call of the kernel.

    Attributes:
        name: of the call.
        arguments: the text between its brackets, every string in hexadecimal.
        result: what it returned; -1 for an error, None where the process did not live to see it.
        began: the record's line with its beginning.
        ended: the line with its end, which is the same where nothing happened in between.
        at_ns: not before this Unix time did it end; of a call on one line, when it began.
        began_ns: when it began.
    """

    name: str
    arguments: str
    result: int | None
    began: int
    ended: int
    at_ns: int
    began_ns: int


def command(record: Path) -> tuple[str, ...]:
    """The command to run a server under, which writes the record.

    The server stays the caller's own child (`-D`), so that signals reach it. Paths are added to
    file descriptors (`-y`), so that no table of them is needed.
    """
    return (
        "strace", "-D", "-f", "-y", "-xx", "--seccomp-bpf", "-s", str(DATA_BYTES_MAX),
        "--absolute-timestamps=format:unix,precision:ns",
        "-e", "trace=" + ",".join(f"?{name}" for name in TRACED),
        "-o", str(record),
    )  # fmt: skip


def is_over(record: Path, process: int) -> bool:
    """Whether the process has ended and strace has written its last line."""
    with record.open("rb") as file:
        file.seek(max(0, record.stat().st_size - 4096))
        tail = file.read().decode(errors="replace")
    return str(process) in _ENDED.findall(tail)


def hexadecimal(text: str) -> str:
    """A text as strace writes it under `-xx`."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def calls(lines: Iterable[str], about: str) -> Iterator[Call]:
    """The calls whose line has a text in it, in the order of the lines in which they end.

    A thread that strace has stopped goes on only once its line is written. So what a call's end
    made possible, an answer to a client too, happens later than the lines before it.
    """
    begun: dict[str, tuple[str, int, int]] = {}
    for number, line in enumerate(lines):
        if about not in line and "resumed>" not in line:
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        thread, body = match[1], match[4]
        at_ns = int(match[2]) * 10**9 + int(match[3])
        if body.endswith(_UNFINISHED):
            begun[thread] = (body.removesuffix(_UNFINISHED), number, at_ns)
        elif body.startswith("<... "):
            if thread in begun:
                start, began, began_ns = begun.pop(thread)
                yield _call(start + _RESUMED.sub("", body, count=1), began, number, at_ns, began_ns)
        elif not body.startswith(("+++", "---")):
            yield _call(body, number, number, at_ns, at_ns)
    for start, began, began_ns in begun.values():
        yield _call(f"{start}) = ?", began, number, began_ns, began_ns)


def _call(text: str, began: int, ended: int, at_ns: int, began_ns: int) -> Call:
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"line {began} of the record is not understood: {text[:200]}")
    result = None if match[3] == "?" else int(match[3])
    return Call(match[1], match[2], result, began, ended, at_ns, began_ns)
