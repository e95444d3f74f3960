"""The lines of a file, plain or gzip, or of standard input."""

import gzip
import io
import itertools
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LINE_BYTES_MAX = 1024 * 1024
STANDARD_INPUT = "-"

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Small enough for the progress of a well compressed file to be seen.
_READ_BYTES = 64 * 1024


_Lines = io.BufferedReader | gzip.GzipFile


class SourceError(Exception):
    """The file cannot be opened, or not be read to its end; the message says which."""


class Line(NamedTuple):
    """A line that is not blank.

    Attributes:
        number: counted from 1, blank lines included, as editors count.
        content: the line with its end, or None where it is longer than `LINE_BYTES_MAX`.
    """

    number: int
    content: bytes | None


class Source:
    """An open file. Iterate over it, once, for its lines."""

    def __init__(self, raw: "_CountedReads", stream: _Lines, bytes_total: int | None) -> None:
        self._raw = raw
        self._stream = stream
        self.bytes_total = bytes_total
        """The size of the file on the disk; None for a pipe."""

    @property
    def bytes_read(self) -> int:
        """How much of `bytes_total` was read."""
        return self._raw.bytes_read

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines that are not blank.

        Raises:
            SourceError: The rest cannot be read, as where a gzip file was cut off.
        """
        for number in itertools.count(1):
            content = self._read_line()
            if content is None or content.strip():
                yield Line(number, content)
            elif not content:
                return

    def _read_line(self) -> bytes | None:
        """Return the next line, empty at the end of the file, or None for one that is too long."""
        try:
            content = self._stream.readline(LINE_BYTES_MAX + 1)
            if len(content) <= LINE_BYTES_MAX or content.endswith(b"\n"):
                return content
            while content and not content.endswith(b"\n"):
                content = self._stream.readline(LINE_BYTES_MAX)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"the file cannot be read any further: {error}") from error
        return None


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open a file, or standard input for `-`. Its first bytes show whether it is gzip.

    Raises:
        SourceError: There is no such file, or it may not be read.
    """
    with ExitStack() as stack:
        try:
            if name == STANDARD_INPUT:
                file: IO[bytes] = sys.stdin.buffer
            else:
                file = stack.enter_context(Path(name).open("rb"))
            raw = _CountedReads(file)
            stream = _uncompressed(io.BufferedReader(raw, _READ_BYTES))
            bytes_total = _size(file)
        except OSError as error:
            raise SourceError(f"{name} cannot be read: {error.strerror}") from error
        yield Source(raw, stream, bytes_total)


class _CountedReads(io.RawIOBase):
    """A file that counts what is read, and stays open: standard input is not ours to close."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        # Reads until the buffer is full or the file at its end, so that a look at the first
        # two bytes of a pipe sees both.
        view = memoryview(buffer).cast("B")
        content = self._file.read(len(view))
        view[: len(content)] = content
        self.bytes_read += len(content)
        return len(content)


def _uncompressed(stream: io.BufferedReader) -> _Lines:
    start = stream.peek(len(_BYTE_ORDER_MARK))
    if start.startswith(_GZIP_MAGIC):
        return gzip.GzipFile(fileobj=stream)
    if start.startswith(_BYTE_ORDER_MARK):
        stream.read(len(_BYTE_ORDER_MARK))
    return stream


def _size(file: IO[bytes]) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except (OSError, io.UnsupportedOperation):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
