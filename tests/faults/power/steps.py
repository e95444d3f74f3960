"""The steps by which a directory on a disk changes, taken out of a record of calls."""

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from faults.power.syscalls import Call, calls, hexadecimal

DIRECTORY, PARENT = ".", ".."
"""The names of the directory itself and of the one that it stands in."""

NOT_KEPT = "-shm"
"""SQLite's index of the log lies in memory that is never synced, and the first to open the
database makes it anew: it counts as lost in every power cut."""


class Action(Enum):
    """What a step does."""

    CREATE = "create"
    WRITE = "write"
    TRUNCATE = "truncate"
    UNLINK = "unlink"
    SYNC = "sync"


class Step(NamedTuple):
    """One change of a file in the directory, or a sync that makes earlier ones last.

    Attributes:
        action: what is done.
        name: the file, or one of the two directories.
        at_ns: the Unix time before which it had no effect.
        began: the record's line with its beginning.
        ended: the line with its end: a sync covers what ended before it began.
        offset: where a write begins; the new size for a truncation.
        data: what is written.
    """

    action: Action
    name: str
    at_ns: int = 0
    began: int = 0
    ended: int = 0
    offset: int = 0
    data: bytes = b""


class UnforeseenError(Exception):
    """The server changes its files in a way that the simulator does not know."""


_PATH = re.compile(r'(?:\d+<|")((?:\\x[0-9a-f]{2})+)[>"]')
_FLAG = re.compile(r"\b(?:O|MAP|PROT)_\w+")
_PLAIN = {
    "fsync": Action.SYNC,
    "fdatasync": Action.SYNC,
    "unlink": Action.UNLINK,
    "mkdir": Action.CREATE,
}


def steps(lines: Iterable[str], directory: Path) -> list[Step]:
    """The steps in a record, in order of effect: a change counts from its beginning on, a sync
    from its end.

    Raises:
        UnforeseenError: a call on a file of the directory is of no kind known here.
    """
    found = calls(lines, hexadecimal(str(directory.parent)))
    taken = [step for call in found for step in _of(call, directory)]
    return sorted(taken, key=lambda s: s.ended if s.action is Action.SYNC else s.began)


def _of(call: Call, directory: Path) -> Iterator[Step]:
    """The steps of a call, if it was done on the directory or a file of it."""
    names = _names(call, directory)
    if call.name not in ("fsync", "fdatasync"):
        names.discard(PARENT)
    if not names or call.result == -1:
        return
    if len(names) > 1 or call.result is None or "(deleted)" in call.arguments:
        raise UnforeseenError(_short(call))
    yield from _of_file(call, names.pop())


def _names(call: Call, directory: Path) -> set[str]:
    """What a call is about, of all that is kept: by its handles and paths, not by its data."""
    text = call.arguments.split('"', 1)[0] if "write" in call.name else call.arguments
    paths = [Path(_bytes(path).decode()) for path in _PATH.findall(text)]
    return {name for path in paths if (name := _name(path, directory)) is not None}


def _name(path: Path, directory: Path) -> str | None:
    """A path as a step names it; None where it is none of the directory's, or not kept."""
    if path == directory.parent:
        return PARENT
    if path == directory:
        return DIRECTORY
    if path.parent == directory and not path.name.endswith(NOT_KEPT):
        return path.name
    return None


def _of_file(call: Call, name: str) -> Iterator[Step]:
    def step(action: Action, offset: int = 0, data: bytes = b"") -> Step:
        at_ns = call.at_ns if action is Action.SYNC else call.began_ns
        return Step(action, name, at_ns, call.began, call.ended, offset, data)

    if call.name in _PLAIN:
        yield step(_PLAIN[call.name])
    elif call.name == "pwrite64":
        yield step(Action.WRITE, _last(call), _data(call))
    elif call.name == "write" and name.endswith(".lock"):  # emptied before, so it begins at 0
        yield step(Action.WRITE, 0, _data(call))
    elif call.name == "ftruncate":
        yield step(Action.TRUNCATE, _last(call))
    elif call.name == "openat" and {"O_CREAT", "O_TRUNC"} & _flags(call) == {"O_CREAT"}:
        yield step(Action.CREATE)
    elif not _is_harmless(call):
        raise UnforeseenError(_short(call))


def _is_harmless(call: Call) -> bool:
    """Whether it opens a file that is there, or maps one for reading or as a copy."""
    if call.name == "openat":
        return "O_TRUNC" not in _flags(call)
    return call.name == "mmap" and not {"MAP_SHARED", "PROT_WRITE"} <= _flags(call)


def _flags(call: Call) -> set[str]:
    return set(_FLAG.findall(call.arguments))


def _last(call: Call) -> int:
    """The last argument: an offset or a size."""
    return int(call.arguments.rsplit(", ", 1)[1])


def _data(call: Call) -> bytes:
    """What a call wrote: as much of what it was given as it says."""
    text = call.arguments.split('"', 2)[1]
    data = _bytes(text)[: call.result]
    if len(data) != call.result:
        raise UnforeseenError(f"more is written at once than is recorded: {_short(call)}")
    return data


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _short(call: Call) -> str:
    arguments = re.sub(
        r"(?:\\x[0-9a-f]{2})+", lambda m: repr(_bytes(m[0])[:80]), call.arguments[:2_000]
    )
    return f"line {call.began}: {call.name}({arguments}) = {call.result}"
