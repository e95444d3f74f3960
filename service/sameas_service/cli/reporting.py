"""What an import reports while it runs and at its end."""

import time
from collections import Counter
from typing import IO, NamedTuple, Self

import orjson
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sameas_service.cli.terminal import errors, safe

REFUSALS_PRINTED_MAX = 100


class Refusal(NamedTuple):
    """A line that was not taken, by the import or by the server.

    Attributes:
        line: its number.
        code: the gRPC status code's name.
        reason: why, as a word.
        field: the field at fault, or empty.
        message: a sentence for people.
    """

    line: int
    code: str
    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        words = " ".join(word for word in (self.code, self.reason, self.field) if word)
        return f"line {self.line}: {words}: {self.message}"


class Report:
    """The counts of what became of the lines, the bad ones, and the progress on a terminal.

    Use it as a context manager: the progress bar is there for as long.
    """

    def __init__(self, bytes_total: int | None, refusals: IO[bytes] | None) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.refused = 0
        self.warnings: Counter[str] = Counter()
        self.settled_line = 0
        """Every line up to here was answered or refused."""
        self._refusals = refusals
        self._started = time.monotonic()
        self._console = errors()
        self._progress = Progress(
            TextColumn("importing"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            _CountsColumn(self),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=bytes_total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def messages(self) -> int:
        """How many messages the server answered for."""
        return self.accepted + self.duplicates

    @property
    def messages_per_second(self) -> float:
        """The rate so far."""
        return self.messages / max(time.monotonic() - self._started, 0.001)

    def read(self, bytes_read: int) -> None:
        """Move the bar to a number of bytes of the file."""
        self._progress.update(self._task, completed=bytes_read)

    def refuse(self, refusal: Refusal) -> None:
        """Count a bad line. Print the first hundred, and write all to the file."""
        self.refused += 1
        if self._refusals is not None:
            self._refusals.write(orjson.dumps(refusal._asdict()) + b"\n")
        if self.refused <= REFUSALS_PRINTED_MAX:
            self._say(str(refusal))
        elif self.refused == REFUSALS_PRINTED_MAX + 1:
            self._say("... further bad lines are counted, not printed; --errors has them all")

    def summary(self) -> str:
        """Return the counts in one line, and the warnings, if any, in a second."""
        seconds = time.monotonic() - self._started
        counts = (
            f"{self.accepted:,} accepted, {self.duplicates:,} duplicates, "
            f"{self.refused:,} refused in {seconds:,.1f} s "
            f"({self.messages_per_second:,.0f} messages/s)"
        )
        if not self.warnings:
            return counts
        warnings = ", ".join(f"{name} {n:,}" for name, n in self.warnings.most_common())
        return f"{counts}\nwarnings: {warnings}"

    def _say(self, sentence: str) -> None:
        self._console.print(safe(sentence), soft_wrap=True)


class _CountsColumn(ProgressColumn):
    """The counts and the rate, beside the bar."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def render(self, task: Task) -> Text:  # noqa: ARG002 - the counts are the report's
        report = self._report
        rate = report.messages_per_second
        return Text(f"{report.messages:,} messages, {report.refused:,} refused, {rate:,.0f}/s")
