"""The commands `export` and `export-ids`: the ledger and the ids of a data directory, as files.

Both read the database itself, also beside a running server, and write nothing to it.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sameas_service.cli import times
from sameas_service.cli.appending import STANDARD_OUTPUT, TargetError, open_target
from sameas_service.cli.connection import stop
from sameas_service.cli.maintaining import EXIT_FAILED, Steps
from sameas_service.cli.parquet import (
    SUFFIX,
    ParquetMissingError,
    write_parquet,
)
from sameas_service.cli.terminal import errors
from sameas_service.domain.kinds import KINDS, Kind
from sameas_service.domain.message import Message
from sameas_service.domain.payload import EMPTY
from sameas_service.resolver.failures import StoreError, StoreUnusable
from sameas_service.resolver.read.export import Export, Holding, NoSuchPlace
from sameas_service.store.sqlite.store import open_ledger

_EXPECTED_FAILURES = (StoreUnusable, TargetError, ParquetMissingError)


class From(NamedTuple):
    """What is exported: a workspace of a data directory."""

    data: Path
    workspace: str


def run_export(file: str, source: From, *, resume: bool) -> int:
    """Write the ledger's messages in the import format. Return 0.

    Raises:
        typer.Exit: With code 2, after a sentence on standard error, where it cannot go on.
    """
    with (
        _failures_shown(source),
        open_ledger(source.data) as reader,
        open_target(file, resume=resume) as target,
    ):
        export, place = Export(reader, source.workspace), 0
        if target.last_line:
            place = export.place_of(_field(target.last_line, "messageId"))
        pieces = _told(export.messages(place), export.messages_after(place), "messages", file)
        for piece in pieces:
            target.write(b"".join(map(line_of, piece)))
    return 0


def run_export_ids(file: str, source: From, *, resume: bool) -> int:
    """Write which person each id belongs to, as JSON lines or Parquet. Return 0.

    Raises:
        typer.Exit: With code 2, after a sentence on standard error, where it cannot go on.
    """
    with _failures_shown(source), open_ledger(source.data, derived=True) as reader:
        export = Export(reader, source.workspace)
        if file.endswith(SUFFIX):
            rows = _told(export.holdings(None), None, "rows", file)
            write_parquet(Path(file), rows, replace=resume)
            return 0
        with open_target(file, resume=resume) as target:
            last = _holding_of(target.last_line) if target.last_line else None
            for piece in _told(export.holdings(last), None, "rows", file):
                target.write(b"".join(map(_holding_line, piece)))
    return 0


def line_of(message: Message) -> bytes:
    """Return a message as a line of the import format, of which `import` makes the same message.

    `timestamp` is the time as it counts. It is absent where the client gave none and the time
    of receipt counts; where the client gave another one, that is the `originalTimestamp`.
    """
    kind = message.kind
    words = KINDS[kind]
    event_time, client_time = message.event_time, message.client_time
    is_undated = client_time is None and event_time == message.received_at
    fields = {
        "type": kind.name.lower(),
        "messageId": message.message_id,
        "timestamp": None if is_undated else _text(event_time),
        "originalTimestamp": None if client_time == event_time else _text(client_time),
        "sentAt": _text(message.sent_at),
        "receivedAt": _text(message.received_at),
        words.device_word: message.device,
        "userId": message.user,
        "previousUserId": message.source,
        words.event_word: message.event or None,
    }
    fields = {word: value for word, value in fields.items() if value is not None}
    return orjson.dumps(fields | _payload_words(message), option=orjson.OPT_APPEND_NEWLINE)


def _payload_words(message: Message) -> dict[str, Any]:
    words: dict[str, Any] = {}
    payload_word = KINDS[message.kind].payload_word
    if payload_word is None:
        words = orjson.loads(message.payload)
    elif message.payload != EMPTY or message.kind is Kind.IDENTIFY:
        # An Identify without `traits` would take those of its context.
        words[payload_word] = orjson.Fragment(message.payload)
    if message.context:
        words["context"] = orjson.Fragment(message.context)
    return words


def _text(micros: int | None) -> str | None:
    return None if micros is None else times.text_of_micros(micros)


def _holding_line(holding: Holding) -> bytes:
    fields = {
        "id": holding.id,
        "kind": holding.kind,
        "person_id": holding.person_id,
        "from": _text(holding.start),
        "to": _text(holding.end),
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _holding_of(line: bytes) -> Holding:
    """Return what a line says, as far as it is needed to go on after it."""
    start = orjson.loads(line).get("from") if line.startswith(b"{") else None
    micros = None if start is None else times.micros_of(start)
    return Holding(_field(line, "id"), _field(line, "kind"), "", micros, None)


def _field(line: bytes, name: str) -> str:
    """Return a field of the file's last line."""
    try:
        value = orjson.loads(line)[name]
    except (ValueError, KeyError, TypeError) as error:
        raise NoSuchPlace from error
    if not isinstance(value, str):
        raise NoSuchPlace
    return value


def _told(
    pieces: Iterable[list[Any]], total: int | None, what: str, file: str
) -> Iterator[list[Any]]:
    """Pass pieces on, show how far it is, and say at the end how many there were."""
    begin, done = time.monotonic(), 0
    with Steps() as steps:
        for piece in pieces:
            yield piece
            done += len(piece)
            if total is not None:
                steps.tell("exporting", done, total)
    seconds = max(time.monotonic() - begin, 0.001)
    sentence = f"exported {done:,} {what} in {seconds:,.1f} s ({done / seconds:,.0f} {what}/s)"
    if file == STANDARD_OUTPUT:
        errors().print(sentence)
    else:
        print(sentence)  # noqa: T201 - the result of the command


@contextmanager
def _failures_shown(source: From) -> Iterator[None]:
    try:
        yield
    except _EXPECTED_FAILURES as error:
        stop(str(error), code=EXIT_FAILED)
    except NoSuchPlace:
        stop(
            f"the file does not end with anything of {source.data}; start a new one",
            code=EXIT_FAILED,
        )
    except (StoreError, OSError) as error:
        stop(f"{source.data} cannot be exported: {error}", code=EXIT_FAILED)
    except KeyboardInterrupt:
        stop("interrupted; the same command with --resume goes on", code=EXIT_FAILED)
