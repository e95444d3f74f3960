"""Sort any number of rows in little memory, and join rows that are sorted.

Rows are collected up to a bound, sorted, and written to a temporary file: a run. Reading merges
the runs. Where all rows fit one run there is no file.
"""

import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import IO, Any, Self

import orjson

Row = tuple[Any, ...]
"""Text, whole numbers of 64 bits, truth values and None. Rows differ in a cell before the first
one that may be None."""

RUN_BYTES = 4 * 1024 * 1024
"""About how much memory the rows of a run take before it is written."""

ROW_BYTES = 300
"""About how much memory a row takes, without any long text."""

RUN_CHUNKS = 128
"""Parts in which a run is read."""

FAN_IN = 32
"""Runs that are merged into one: a bound on open files and on chunks in memory."""


class Sorter:
    """Rows that go in in any order and come out sorted, as often as wanted.

    It is as well a place to keep rows that are in order already. Close it, or use it as a
    context manager: the files go with it. They are made where `TMPDIR` says.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._bytes = 0
        self._written = 0, 0  # rows and bytes
        self._levels: list[list[IO[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self._written[0] + len(self._rows)

    def add(self, row: Row) -> None:
        """Add a row. Its last cell alone may be a long text."""
        self._rows.append(row)
        last = row[-1]
        self._grow(ROW_BYTES + len(last) if type(last) is str else ROW_BYTES)

    def extend(self, rows: Sequence[Row]) -> None:
        """Add rows without long text."""
        self._rows += rows
        self._grow(ROW_BYTES * len(rows))

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows, sorted. Start again only when the last time is over."""
        return chain.from_iterable(self.chunks())

    def chunks(self) -> Iterator[list[Row]]:
        """Yield all rows, sorted, in lists: most of the time of a merge is spent in `sort`."""
        if self._levels and self._rows:
            self._write_run()
        self._rows.sort()
        runs = [_chunks(run) for level in self._levels for run in level]
        return _merged(runs) if runs else iter([self._rows])

    def close(self) -> None:
        """Remove everything."""
        self._rows.clear()
        for level in self._levels:
            _close(level)

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= RUN_BYTES:
            self._write_run()

    def _write_run(self) -> None:
        rows, size = self._written
        self._written = rows + len(self._rows), size + self._bytes
        self._rows.sort()
        self._keep(self._rows, 0)
        self._rows.clear()
        self._bytes = 0

    def _keep(self, rows: Iterable[Row], depth: int) -> None:
        """Write a run. Merge the runs of one depth into one of the next when they are many."""
        if depth == len(self._levels):
            self._levels.append([])
        level = self._levels[depth]
        level.append(self._run_of(rows))
        if len(level) == FAN_IN:
            merged = _merged([_chunks(run) for run in level])
            self._keep(chain.from_iterable(merged), depth + 1)
            _close(level)

    def _run_of(self, rows: Iterable[Row]) -> IO[bytes]:
        count, size = self._written
        chunk_rows = max(1, RUN_BYTES // RUN_CHUNKS * count // size)
        rest = iter(rows)
        run = tempfile.TemporaryFile(prefix="sameas-")  # noqa: SIM115 - closed by `close`
        while chunk := list(islice(rest, chunk_rows)):
            columns = list(zip(*chunk, strict=True))
            run.write(orjson.dumps(columns, option=orjson.OPT_APPEND_NEWLINE))
        return run


def paired(
    left: Iterable[Row], right: Iterable[Row], keys: int
) -> Iterator[tuple[Row | None, Row | None]]:
    """Join rows that are sorted by their first cells, `keys` of them; None for no partner.

    The next row of a side is asked for when the one before has been dealt with.
    """
    key = itemgetter(*range(keys))
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None or other is not None:
        if other is None or (one is not None and key(one) < key(other)):
            yield one, None
            one = next(lefts, None)
        elif one is None or key(other) < key(one):
            yield None, other
            other = next(rights, None)
        else:
            yield one, other
            one, other = next(lefts, None), next(rights, None)


def _chunks(run: IO[bytes]) -> Iterator[list[Row]]:
    """Read a run. A chunk is a line: its columns, which need fewer lists than its rows."""
    run.seek(0)
    for chunk in run:
        yield list(zip(*orjson.loads(chunk), strict=True))


def _merged(runs: list[Iterator[list[Row]]]) -> Iterator[list[Row]]:
    """Merge runs. Of each one chunk is in memory.

    What is not above the last row of any chunk can be passed on: no run has more of that.
    """
    chunks = [next(run) for run in runs]
    while chunks:
        bound = min(chunk[-1] for chunk in chunks)
        ready: list[Row] = []
        for place in reversed(range(len(runs))):
            chunk = chunks[place]
            end = bisect_right(chunk, bound)
            ready += chunk[:end]
            chunks[place] = chunk[end:] or next(runs[place], [])
            if not chunks[place]:
                del chunks[place], runs[place]
        ready.sort()
        yield ready


def _close(runs: list[IO[bytes]]) -> None:
    for run in runs:
        run.close()
    runs.clear()
