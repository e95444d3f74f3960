"""The log: one connection alone copies it back, behind the answers, and its length is bounded."""

import asyncio
import logging
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sameas_service
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules, derive
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.resolver.ports import PersonKey
from sameas_service.store.sqlite import checkpoints, export, failpoints, past
from sameas_service.store.sqlite.database import FILE, Database
from sameas_service.store.sqlite.log import Log
from sameas_service.store.sqlite.store import SqliteStore

SEED = 20_261_121
T0 = 1_700_000_000_000_000
LOG = f"{FILE}-wal"
KIB = 1024

LARGE = f'{{"text":"{"x" * 4_000}"}}'
WHO_COMMITS_AND_DIES = """
import os, sys
from pathlib import Path
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.store.sqlite.database import Database
database = Database(Path(sys.argv[1]), Rules())
database.append([accept(Call(Kind.TRACK, "m", 1_700_000_000_000_000, user_id="u", event="e"))])
os._exit(0)
"""
WHO_READS_THE_FILE_ALONE = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?immutable=1", uri=True)
print(connection.execute("SELECT count(*) FROM message").fetchone()[0])
"""


def messages(number: int, start: int = 0) -> list[Message]:
    """So many messages of 4 KiB each: two pages of the log or more."""
    return [
        accept(Call(Kind.TRACK, f"m{n:06}", T0 + n, user_id="u", event="e", payload=LARGE))
        for n in range(start, start + number)
    ]


def frames(connection: sqlite3.Connection) -> int:
    """How many pages the log has, as SQLite says."""
    return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is copied back at 64 KiB, and whose readers are waited for from 128 KiB on."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 64 * KIB)
    monkeypatch.setattr(checkpoints, "STEP_BYTES", 16 * KIB)
    monkeypatch.setattr(checkpoints, "RESTART_BYTES", 128 * KIB)
    monkeypatch.setattr(checkpoints, "LOG_BYTES_MAX", 256 * KIB)
    monkeypatch.setattr(checkpoints, "PATIENCE_SECONDS", 0.05)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path, Rules())
    yield opened
    opened.close()


# ---- Who checkpoints ----------------------------------------------------------------------


async def test_every_connection_but_the_writers_can_neither_write_nor_checkpoint(tmp_path: Path):
    store = SqliteStore(tmp_path, Rules())
    found = {
        name: (pragma(one, "query_only"), pragma(one, "wal_autocheckpoint"))
        for holder in (store, store._database)
        for name, one in vars(holder).items()
        if isinstance(one, sqlite3.Connection)
    }
    with export.reading(tmp_path, "default", derived=False) as reader:
        found["export"] = (
            pragma(reader._connection, "query_only"),
            pragma(reader._connection, "wal_autocheckpoint"),
        )
    await store.close()

    # The writer does not by itself either: it is told when.
    assert found.pop("_writer") == (0, 0)
    assert set(found) == {
        "_person_reader", "_page_reader", "_past_reader", "_change_reader", "export"
    }  # fmt: skip
    assert set(found.values()) == {(1, 0)}


def pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def test_one_place_of_the_service_checkpoints_and_two_open_a_writing_connection():
    root = Path(sameas_service.__file__).parent
    code = {path.name: path.read_text() for path in root.rglob("*.py")}

    def using(word: str) -> set[str]:
        return {name for name, text in code.items() if re.search(rf"\b{word}\(", text)}

    assert using("wal_checkpoint") == {"checkpoints.py"}
    assert using("Checkpoints") == {"database.py"}
    assert using("open_writer") == {"connection.py", "database.py", "offline.py"}
    assert using("sqlite3.connect") == {"connection.py"}


def test_what_is_committed_stands_in_the_log_alone_until_the_writer_is_told(database, small):
    file = database._path
    before = file.stat()
    reader = database.reader()

    database.append(messages(40))
    seen = reader.execute("SELECT count(*) FROM message").fetchone()
    reader.close()

    assert seen == (40,)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    database.tidy()
    assert file.stat().st_size >= before.st_size + 160 * KIB


async def test_an_answer_does_not_wait_for_the_checkpoint_behind_it(tmp_path, small, monkeypatch):
    order: list[str] = []
    may_end = threading.Event()

    def at(point: failpoints.Failpoint) -> None:
        if point in (failpoints.Failpoint.CHECKPOINT_BEGIN, failpoints.Failpoint.CHECKPOINT_END):
            order.append(point)
            assert may_end.wait(10)

    monkeypatch.setattr(failpoints, "at", at)
    store = SqliteStore(tmp_path, Rules())

    await asyncio.wait_for(store.append(messages(40)), 10)
    order.append("answer")
    may_end.set()
    await store.append(messages(1, start=40))
    await store.close()

    assert order.count("answer") == 1
    assert order[-1] == "checkpoint-end"
    assert order.index("answer") < order.index("checkpoint-end")


def test_what_a_killed_process_left_in_the_log_is_in_the_database_before_it_is_read(tmp_path: Path):
    """That one may have died before its fsync: who is told of it must find it on the disk."""
    subprocess.run([sys.executable, "-c", WHO_COMMITS_AND_DIES, str(tmp_path)], check=True)
    left = (tmp_path / LOG).stat().st_size
    alone = [sys.executable, "-c", WHO_READS_THE_FILE_ALONE, str(tmp_path / FILE)]

    database = Database(tmp_path, Rules())
    seen = subprocess.run(alone, check=True, capture_output=True, text=True).stdout
    database.close()

    assert left > 0
    assert seen == "1\n"


# ---- How long the log is ------------------------------------------------------------------


def test_the_length_that_is_read_from_the_file_is_what_sqlite_says(tmp_path: Path):
    writer = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("CREATE TABLE t (x)")
    log, choose = Log(tmp_path / FILE), random.Random(SEED)
    frame, header = 4_096 + 24, 32

    for _ in range(30):
        writer.execute("INSERT INTO t VALUES (zeroblob(?))", (choose.randrange(200_000),))
        length = header + frame * frames(writer)
        assert log.reaches(length), SEED
        assert not log.reaches(length + frame), SEED
        if choose.random() < 0.2:
            generation = log.generation()
            writer.execute("PRAGMA wal_checkpoint(RESTART)")
            writer.execute("INSERT INTO t VALUES (1)")
            assert log.generation() != generation
    log.close()
    writer.close()


def test_an_empty_log_reaches_nothing(tmp_path: Path):
    (tmp_path / LOG).touch()
    log = Log(tmp_path / FILE)

    assert not log.reaches(0)
    assert log.generation() == b""
    log.close()


def test_the_log_begins_again_although_somebody_always_reads(database, small, tmp_path: Path):
    is_over = threading.Event()
    relay = threading.Thread(target=read_in_turn, args=(database, is_over))
    relay.start()
    for number in range(60):
        database.append(messages(5, start=5 * number))
        database.tidy()
    is_over.set()
    relay.join()

    # Some 2.5 MB were written.
    assert (tmp_path / LOG).stat().st_size < 400 * KIB


def read_in_turn(database: Database, is_over: threading.Event) -> None:
    """Two readers, of which each begins before the other one ends, as under a steady load."""
    reader, other = database.reader(), database.reader()
    begin(other)
    while not is_over.is_set():
        begin(reader)
        other.execute("COMMIT")
        time.sleep(0.01)
        reader, other = other, reader
    reader.close()
    other.close()


def begin(reader: sqlite3.Connection) -> None:
    """Takes a snapshot."""
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM message").fetchone()


def test_a_reader_that_does_not_end_is_warned_of_and_costs_the_writer_little(
    database, small, tmp_path: Path, caplog
):
    database.append(messages(1))
    reader = database.reader()
    begin(reader)

    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        for number in range(100):
            database.append(messages(5, start=1 + 5 * number))
            database.tidy()
        took = time.monotonic() - began
    grown = (tmp_path / LOG).stat().st_size
    reader.execute("COMMIT")
    reader.close()
    database._checkpoints._impatient_until = float("-inf")
    for number in range(2):
        database.append(messages(5, start=1_000 + 5 * number))
        database.tidy()

    (record,) = caplog.records
    assert "since a program reads one snapshot of the database for long" in record.getMessage()
    # Bounded by the waits up to the bound, one each step: (256 - 128) / 16 of 0.05 s.
    assert took < 8 * 0.05 + 5
    assert grown > 256 * KIB
    # And it begins again once that reader is gone.
    assert not database._checkpoints._log.reaches(200 * KIB)


def test_a_read_of_the_past_holds_no_snapshot_while_it_derives(
    database, monkeypatch: pytest.MonkeyPatch
):
    is_deriving, may_end = threading.Event(), threading.Event()

    def derive_slowly(*arguments):
        is_deriving.set()
        assert may_end.wait(10)
        return derive(*arguments)

    monkeypatch.setattr(past, "derive", derive_slowly)
    database.append(messages(3))
    reader = database.reader()
    asked = (reader, database.workspace, [PersonKey("user", "u")], T0 + 10)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(past.persons, *asked)
        assert is_deriving.wait(10)
        database.append(messages(1, start=3))
        is_busy, *_ = database._checkpoints._checkpoint("RESTART")
        may_end.set()
        (view,) = answer.result(10)
    reader.close()

    assert not is_busy
    # And is none the less of one moment: without the message that came meanwhile.
    assert view is not None
    assert view.last_seen == T0 + 2


def test_a_read_of_the_past_is_of_one_moment_whatever_comes_meanwhile(
    database, monkeypatch: pytest.MonkeyPatch
):
    """A message, a link and an unlink come between its first statement and the others."""
    before = [
        accept(Call(Kind.TRACK, "claim", T0, anonymous_id="d", user_id="u", event="e")),
        accept(Call(Kind.TRACK, "other", T0 + 1, user_id="v", event="e")),
    ]
    meanwhile = [
        accept(Call(Kind.TRACK, "late", T0 + 2, anonymous_id="d", event="e")),
        accept(Call(Kind.MERGE, "link", T0 + 3, user_id="u", previous_user_id="v")),
        accept(Call(Kind.UNLINK, "unlink", T0 + 4, anonymous_id="d", user_id="u")),
    ]
    database.append(before)
    reader = database.reader()
    keys = [PersonKey("user", "u"), PersonKey("anonymous", "d"), PersonKey("user", "v")]
    asked = (reader, database.workspace, keys, T0 + 10)
    expected = past.persons(*asked)
    ends = past._ends

    def ends_slowly(*arguments):
        database.append(meanwhile)
        return ends(*arguments)

    monkeypatch.setattr(past, "_ends", ends_slowly)
    found = past.persons(*asked)
    monkeypatch.undo()
    after = past.persons(*asked)
    reader.close()

    assert found == expected
    assert after != expected
