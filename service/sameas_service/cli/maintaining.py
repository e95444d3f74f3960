"""The commands `verify` and `rebuild`: whether the derived tables are right, and make them so.

Both need the data directory for themselves: no server may run on it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sameas_service.cli.connection import stop
from sameas_service.cli.terminal import errors, safe
from sameas_service.domain.times import microseconds_of
from sameas_service.resolver.failures import StoreError, StoreUnusable
from sameas_service.resolver.maintain.rebuild import Gap, rebuild
from sameas_service.resolver.maintain.verify import Cells, Difference, verify
from sameas_service.store.sqlite.store import open_maintenance

DIFFERENCES_PRINTED_MAX = 100
EXIT_DIFFERENT = 1
EXIT_FAILED = 2


def run_verify(data: Path) -> int:
    """Print what differs. Return the exit code: 0 nothing, 1 something.

    Raises:
        typer.Exit: With code 2, after a sentence on standard error, where it cannot run.
    """
    count = 0
    with _failures_shown(data), open_maintenance(data) as maintenance, Steps() as steps:
        for difference in verify(maintenance, steps.tell):
            count += 1
            if count <= DIFFERENCES_PRINTED_MAX:
                print(safe(sentence(difference)))  # noqa: T201 - the result of the command
    print(_verdict(count))  # noqa: T201
    return EXIT_DIFFERENT if count else 0


def run_rebuild(data: Path, session_gap_seconds: float | None, workspace: str) -> int:
    """Replace the derived tables, with another session gap if one is given. Return 0.

    Raises:
        typer.Exit: With code 2, after a sentence on standard error, where it cannot run.
    """
    begin = time.monotonic()
    gap = None
    if session_gap_seconds is not None:
        gap = Gap(workspace, microseconds_of(session_gap_seconds))
    with _failures_shown(data), open_maintenance(data) as maintenance, Steps() as steps:
        messages = rebuild(maintenance, gap, steps.tell)
    seconds = max(time.monotonic() - begin, 0.001)
    print(  # noqa: T201 - the result of the command
        f"rebuilt from {messages:,} messages in {seconds:,.1f} s "
        f"({messages / seconds:,.0f} messages/s)"
    )
    return 0


def sentence(difference: Difference) -> str:
    """Return a difference in one line."""
    key = ", ".join(f"{name} {_text(value)}" for name, value in difference.key.items())
    found, expected = _cells(difference.found), _cells(difference.expected)
    return f"{difference.table} {key}: found {found}, expected {expected}"


def _cells(cells: Cells | None) -> str:
    if cells is None:
        return "no row"
    return ", ".join(f"{name} {_text(value)}" for name, value in cells.items()) or "a row"


def _text(value: object) -> str:
    return orjson.dumps(value).decode()


def _verdict(count: int) -> str:
    if count == 0:
        return "no differences: every derived table is what the ledger gives"
    hidden = count - DIFFERENCES_PRINTED_MAX
    rest = f" ({hidden:,} of them not printed)" if hidden > 0 else ""
    return f"{count:,} differences{rest}; `sameas rebuild` puts them right"


@contextmanager
def _failures_shown(data: Path) -> Iterator[None]:
    try:
        yield
    except StoreUnusable as error:
        stop(str(error), code=EXIT_FAILED)
    except (StoreError, OSError) as error:
        stop(f"{data} cannot be worked on: {error}", code=EXIT_FAILED)
    except KeyboardInterrupt:
        stop("interrupted; it is safe to run the same command again", code=EXIT_FAILED)


class Steps:
    """Shows on a terminal how far each step of the work is. Use it as a context manager."""

    def __init__(self) -> None:
        console = errors()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("reading the ledger", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def tell(self, step: str, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, description=step, completed=done, total=total)
