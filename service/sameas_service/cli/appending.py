"""Files of JSON lines that an export writes, and continues where it was interrupted.

A gzip file is a row of members, one for each piece that is written; readers see one file.
What an interruption left half written, a line or a member, is cut off.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from sameas_service.cli.reading import LINE_BYTES_MAX

STANDARD_OUTPUT = "-"

_BLOCK_BYTES = 64 * 1024
_GZIP_SUFFIX = ".gz"
_GZIP = 16 + zlib.MAX_WBITS


class TargetError(Exception):
    """The file cannot be written or continued; the message says why."""


class Whole(NamedTuple):
    """What of a file is whole: how many bytes, and its last line, empty where there is none."""

    size_bytes: int
    last_line: bytes


class Target:
    """An open file. `last_line` is what it ended with, empty for a new one."""

    def __init__(self, file: IO[bytes], last_line: bytes, *, is_gzip: bool) -> None:
        self._file = file
        self._is_gzip = is_gzip
        self.last_line = last_line

    def write(self, lines: bytes) -> None:
        """Add whole lines."""
        self._file.write(gzip.compress(lines, 6, mtime=0) if self._is_gzip else lines)
        self._file.flush()


@contextmanager
def open_target(name: str, *, resume: bool) -> Iterator[Target]:
    """Open a file for writing, for its owner alone; gzip where its name ends in `.gz`.

    Args:
        name: of the file; `-` for standard output.
        resume: whether to continue a file that is there.

    Raises:
        TargetError: it exists and is not to be continued, or cannot be written.
    """
    if name == STANDARD_OUTPUT:
        if resume:
            raise TargetError("standard output cannot be gone on with; name a file")
        yield Target(sys.stdout.buffer, b"", is_gzip=False)
        return
    path, is_gzip = Path(name), name.endswith(_GZIP_SUFFIX)
    try:
        whole = _whole(path, is_gzip=is_gzip) if resume and path.exists() else None
        flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if whole is None else 0)
        file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    except FileExistsError as error:
        raise TargetError(
            f"{name} exists; --resume goes on with it, or remove it to start anew"
        ) from error
    except OSError as error:
        raise TargetError(f"{name} cannot be written: {error.strerror}") from error
    with file:
        if whole is not None:
            file.truncate(whole.size_bytes)
            file.seek(whole.size_bytes)
        yield Target(file, whole.last_line if whole else b"", is_gzip=is_gzip)
        os.fsync(file.fileno())


def _whole(path: Path, *, is_gzip: bool) -> Whole:
    with path.open("rb") as file:
        start = file.read(1)
        if start and start != (b"\x1f" if is_gzip else b"{"):
            raise TargetError(f"{path} is no export, so it cannot be gone on with")
        file.seek(0)
        return _whole_members(file) if is_gzip else _whole_lines(file)


def _whole_lines(file: IO[bytes]) -> Whole:
    """Return what of plain lines is whole. Look at the end only."""
    size_bytes = file.seek(0, os.SEEK_END)
    tail = b""
    while len(tail) < size_bytes and tail.count(b"\n") < 2:
        if len(tail) > 2 * LINE_BYTES_MAX:
            raise TargetError("the file's lines are too long for an export")
        size = min(_BLOCK_BYTES, size_bytes - len(tail))
        file.seek(size_bytes - len(tail) - size)
        tail = file.read(size) + tail
    whole = tail[: tail.rfind(b"\n") + 1]
    return Whole(size_bytes - len(tail) + len(whole), _last_line(whole))


def _whole_members(file: IO[bytes]) -> Whole:
    """Return what of gzip members is whole. Read all: only unpacking shows where one ends."""
    whole, rest = Whole(0, b""), b""
    while True:
        unpacker, taken, tail = zlib.decompressobj(_GZIP), 0, b""
        while not unpacker.eof:
            block = rest or file.read(_BLOCK_BYTES)
            if not block:
                return whole
            try:
                tail = _last_two_lines(tail, unpacker.decompress(block))
            except zlib.error:
                return whole
            taken, rest = taken + len(block), unpacker.unused_data
        whole = Whole(whole.size_bytes + taken - len(rest), _last_line(tail) or whole.last_line)


def _last_two_lines(tail: bytes, more: bytes) -> bytes:
    """Return what the next block needs of all before it: the last whole line, and what follows.

    What is done with is not copied again: a file is read in time that grows with its size.
    """
    start = more.rfind(b"\n", 0, max(more.rfind(b"\n"), 0))
    return more[start + 1 :] if start >= 0 else (tail + more)[-2 * LINE_BYTES_MAX :]


def _last_line(lines: bytes) -> bytes:
    return lines[: len(lines) - 1].rsplit(b"\n", 1)[-1] if lines else b""
