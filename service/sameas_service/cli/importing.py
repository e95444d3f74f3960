"""The command `import`: sends a file's messages in batches.

It may be stopped and run again at any time: a message id counts once, for ever.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import grpc

from sameas import v1
from sameas_service.cli.connection import (
    answers,
    bare_name,
    code_name,
    connected,
    describe,
    no_server,
    stop,
)
from sameas_service.cli.lines import LineError, item_of
from sameas_service.cli.reading import (
    LINE_BYTES_MAX,
    Line,
    Source,
    SourceError,
    open_source,
)
from sameas_service.cli.reporting import Refusal, Report
from sameas_service.domain import limits

BATCH_SIZE_DEFAULT = 500

# The rest of what the server takes is for what surrounds the items.
BATCH_BYTES_MAX = limits.BATCH_BYTES_MAX - 16 * 1024
# What an item costs beside itself: a tag and a length.
_ITEM_BYTES_BESIDE = 6

BATCHES_IN_FLIGHT_MAX = 3
# For all attempts of one batch together.
BATCH_TIMEOUT_SECONDS = 120.0

EXIT_REFUSED = 1
EXIT_FAILED = 2


class ImportStoppedError(Exception):
    """The import cannot go on; the message says why."""


@dataclass
class Batch:
    """Messages that are sent together, each with the number of its line."""

    items: list[v1.IngestItem] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size_bytes: int = 0
    bytes_read: int = 0
    """How much of the file was read when the batch was closed."""


class _Sent(NamedTuple):
    batch: Batch
    answer: "grpc.Future[v1.IngestResponse]"


def run(file: str, *, server: str, batch_size: int, errors_file: Path | None) -> int:
    """Import a file. Return the exit code: 0, or 1 where lines were refused.

    Raises:
        typer.Exit: With code 2, after a sentence on standard error, where it cannot start
            or cannot go on.
    """
    with ExitStack() as stack:
        channel = stack.enter_context(connected(server, with_retries=True))
        try:
            source = stack.enter_context(open_source(file))
            refusals = stack.enter_context(errors_file.open("wb")) if errors_file else None
        except SourceError as error:
            stop(str(error), code=EXIT_FAILED)
        except OSError as error:
            stop(f"{errors_file} cannot be written: {error.strerror}", code=EXIT_FAILED)
        if not answers(channel):
            stop(no_server(server), code=EXIT_FAILED)
        return _import(source, channel, server, batch_size, refusals)


def _import(
    source: Source,
    channel: grpc.Channel,
    server: str,
    batch_size: int,
    refusals: IO[bytes] | None,
) -> int:
    stub = v1.IdentityServiceStub(channel)
    report = Report(source.bytes_total, refusals)
    failure = ""
    try:
        with report:
            send(batches(source, report, batch_size), stub, report)
    except grpc.RpcError as error:
        failure = describe(error, server)
    except (SourceError, ImportStoppedError) as error:
        failure = str(error)
    except KeyboardInterrupt:
        failure = "interrupted"
    print(report.summary())  # noqa: T201 - the result of the command
    if failure:
        stop(_how_far(failure, report), code=EXIT_FAILED)
    return EXIT_REFUSED if report.refused else 0


def _how_far(failure: str, report: Report) -> str:
    return (
        f"stopped: {failure}. All lines up to {report.settled_line:,} are dealt with, later "
        "ones may be. It is safe to run the same command again: a message id counts once."
    )


def batches(source: Source, report: Report, batch_size: int) -> Iterator[Batch]:
    """Yield the file's messages, at most `batch_size` and `BATCH_BYTES_MAX` together.

    Lines that are no messages go to the report.
    """
    batch = Batch()
    for line in source:
        item = _item(line, report)
        if item is None:
            continue
        size_bytes = item.ByteSize() + _ITEM_BYTES_BESIDE
        if size_bytes > BATCH_BYTES_MAX:
            report.refuse(_too_long(line, "the message is larger than a batch may be"))
            continue
        if len(batch.items) == batch_size or batch.size_bytes + size_bytes > BATCH_BYTES_MAX:
            batch.bytes_read = source.bytes_read
            yield batch
            batch = Batch()
        batch.items.append(item)
        batch.numbers.append(line.number)
        batch.size_bytes += size_bytes
    batch.bytes_read = source.bytes_read
    if batch.items:
        yield batch


def _item(line: Line, report: Report) -> v1.IngestItem | None:
    if line.content is None:
        limit = f"the line has more than {LINE_BYTES_MAX:,} bytes"
        report.refuse(_too_long(line, limit))
        return None
    try:
        return item_of(line.content)
    except LineError as error:
        report.refuse(
            Refusal(line.number, "INVALID_ARGUMENT", error.reason, error.field, error.message)
        )
        return None


def _too_long(line: Line, message: str) -> Refusal:
    return Refusal(line.number, "INVALID_ARGUMENT", "LINE_TOO_LONG", "", message)


def send(ready: Iterable[Batch], stub: v1.IdentityServiceStub, report: Report) -> None:
    """Send the batches in order, a few at a time, and report the answers in that order.

    Raises:
        grpc.RpcError: A batch failed, also after retries; those after it are cancelled.
        ImportStoppedError: The server's answer does not fit the batch.
    """
    in_flight: deque[_Sent] = deque()
    try:
        for batch in ready:
            if len(in_flight) == BATCHES_IN_FLIGHT_MAX:
                _settle(in_flight.popleft(), report)
            request = v1.IngestRequest(items=batch.items, imported=True)
            answer = stub.Ingest.future(request, timeout=BATCH_TIMEOUT_SECONDS)
            in_flight.append(_Sent(batch, answer))
        while in_flight:
            _settle(in_flight.popleft(), report)
    finally:
        for sent in in_flight:
            sent.answer.cancel()


def _settle(sent: _Sent, report: Report) -> None:
    """Wait for the answer to a batch, and report what became of each message."""
    numbers = sent.batch.numbers
    results = sent.answer.result().results
    if len(results) != len(numbers):
        raise ImportStoppedError(
            f"the server gave {len(results)} results for {len(numbers)} messages"
        )
    for number, result in zip(numbers, results, strict=True):
        _take(number, result, report)
    report.settled_line = numbers[-1]
    report.read(sent.batch.bytes_read)


def _take(number: int, result: v1.IngestResult, report: Report) -> None:
    if result.WhichOneof("result") == "error":
        error = result.error
        reason = bare_name(v1.ErrorReason.Name, error.reason, "ERROR_REASON_")
        report.refuse(Refusal(number, code_name(error.code), reason, error.field, error.message))
    elif result.receipt.duplicate:
        report.duplicates += 1
    else:
        report.accepted += 1
        for warning in result.receipt.warnings:
            name = bare_name(v1.WarningReason.Name, warning.reason, "WARNING_REASON_")
            report.warnings[name] += 1
