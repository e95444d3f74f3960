"""The WAL: one connection alone copies it back, after the answers, and its length is bounded."""

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
from contextlib import closing
from pathlib import Path

import pytest

import sameas_service
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules, derive
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.resolver.facts import Filter, PersonKey, Workspace
from sameas_service.resolver.read import history
from sameas_service.resolver.read.timeline import PageQuery
from sameas_service.resolver.resolver import Resolver
from sameas_service.store import failpoints
from sameas_service.store.sqlite import wal
from sameas_service.store.sqlite.connection import open_reader
from sameas_service.store.sqlite.store import FILE, SqliteStore, open_ledger
from sameas_service.store.sqlite.wal import WalFile
from support.stored import Stored, opened

SEED = 20_261_121
T0 = 1_700_000_000_000_000
LOG = f"{FILE}-wal"
KIB = 1024

LARGE = f'{{"text":"{"x" * 4_000}"}}'
WHO_COMMITS_AND_DIES = """
import os, sys
from functools import partial
from pathlib import Path
from sameas_service.domain.accept import Call, accept
from sameas_service.domain.kinds import Kind
from sameas_service.resolver.write.group import append
from sameas_service.store.sqlite.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
message = accept(Call(Kind.TRACK, "m", 1_700_000_000_000_000, user_id="u", event="e"))
workspace = store.workspace("default", 0)
store.write(partial(append, workspace=workspace, messages=[message]))
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
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", 64 * KIB)
    monkeypatch.setattr(wal, "STEP_BYTES", 16 * KIB)
    monkeypatch.setattr(wal, "RESTART_BYTES", 128 * KIB)
    monkeypatch.setattr(wal, "LOG_BYTES_MAX", 256 * KIB)
    monkeypatch.setattr(wal, "PATIENCE_SECONDS", 0.05)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Stored]:
    """A workspace of a data directory that is open here."""
    with closing(opened(tmp_path, Rules())) as found:
        yield found


# ---- Who checkpoints ----------------------------------------------------------------------


async def test_every_connection_but_the_writers_can_neither_write_nor_checkpoint(
    tmp_path: Path, connections: list[sqlite3.Connection]
):
    store = SqliteStore(tmp_path)
    resolver, workspace = Resolver(store), store.workspace("default", 0)
    await resolver.append(workspace, messages(1))
    assert await resolver.ready()
    await read_everything(resolver, workspace)
    with open_ledger(tmp_path) as reader:
        assert reader.count_after(workspace, 0) == 1
        found = [(pragma(one, "query_only"), pragma(one, "wal_autocheckpoint"))
                 for one in connections]  # fmt: skip
        assert connections[0] is store._writer
        assert connections[-1] is reader._connection
    await resolver.close()

    # The writer does not by itself either: it is told when.
    assert found[0] == (0, 0)
    assert len(found) >= 3
    assert set(found[1:]) == {(1, 0)}


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that is opened, in order."""
    found: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connect_noted(*arguments, **named) -> sqlite3.Connection:
        found.append(connect(*arguments, **named))
        return found[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_noted)
    return found


async def read_everything(resolver: Resolver, workspace: Workspace) -> None:
    """Every way to read, at once."""
    key = PersonKey("user", "u")
    query = PageQuery(key, Filter(), None, 10)

    async def follow() -> None:
        async for _ in resolver.follow(workspace, 0, until_present=True):
            pass

    await asyncio.gather(
        resolver.persons(workspace, [key]),
        resolver.persons(workspace, [key], as_of=T0 + 10),
        resolver.messages(workspace, query),
        resolver.messages(workspace, query, as_of=T0 + 10),
        resolver.explain(workspace, (key, key)),
        follow(),
    )


def pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def test_one_place_of_the_service_checkpoints_and_two_open_a_writing_connection():
    root = Path(sameas_service.__file__).parent
    code = {path.name: path.read_text() for path in root.rglob("*.py")}

    def using(word: str) -> set[str]:
        return {name for name, text in code.items() if re.search(rf"\b{word}\(", text)}

    assert using("wal_checkpoint") == {"wal.py"}
    assert using("Checkpoints") == {"store.py"}
    assert using("open_writer") == {"connection.py", "store.py"}
    assert using("sqlite3.connect") == {"connection.py"}


def test_what_is_committed_is_in_the_log_alone_until_the_store_tidies_up(held, small, tmp_path):
    file = tmp_path / FILE
    before = file.stat()

    held.append(messages(40))
    with closing(open_reader(file)) as reader:
        seen = reader.execute("SELECT count(*) FROM message").fetchone()

    assert seen == (40,)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    held.store.between_writes()
    assert file.stat().st_size >= before.st_size + 160 * KIB


async def test_an_answer_does_not_wait_for_the_checkpoint_behind_it(tmp_path, small, monkeypatch):
    order: list[str] = []
    may_end = threading.Event()

    def at(point: failpoints.Failpoint) -> None:
        if point in (failpoints.Failpoint.CHECKPOINT_BEGIN, failpoints.Failpoint.CHECKPOINT_END):
            order.append(point)
            assert may_end.wait(10)

    monkeypatch.setattr(failpoints, "at", at)
    store = SqliteStore(tmp_path)
    resolver, workspace = Resolver(store), store.workspace("default", 0)

    await asyncio.wait_for(resolver.append(workspace, messages(40)), 10)
    order.append("answer")
    may_end.set()
    await resolver.append(workspace, messages(1, start=40))
    await resolver.close()

    assert order.count("answer") == 1
    assert order[-1] == "checkpoint-end"
    assert order.index("answer") < order.index("checkpoint-end")


def test_what_a_killed_process_left_in_the_log_is_in_the_database_before_it_is_read(tmp_path: Path):
    """That one may have died before its fsync: who is told of it must find it on the disk."""
    subprocess.run([sys.executable, "-c", WHO_COMMITS_AND_DIES, str(tmp_path)], check=True)
    left = (tmp_path / LOG).stat().st_size
    alone = [sys.executable, "-c", WHO_READS_THE_FILE_ALONE, str(tmp_path / FILE)]

    with closing(SqliteStore(tmp_path)):
        seen = subprocess.run(alone, check=True, capture_output=True, text=True).stdout

    assert left > 0
    assert seen == "1\n"


# ---- How long the log is ------------------------------------------------------------------


def test_the_length_that_is_read_from_the_file_is_what_sqlite_says(tmp_path: Path):
    writer = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("CREATE TABLE t (x)")
    log, choose = WalFile(tmp_path / FILE), random.Random(SEED)
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
    log = WalFile(tmp_path / FILE)

    assert not log.reaches(0)
    assert log.generation() == b""
    log.close()


def test_the_log_begins_again_although_somebody_always_reads(held, small, tmp_path: Path):
    is_over = threading.Event()
    relay = threading.Thread(target=read_in_turn, args=(tmp_path / FILE, is_over))
    relay.start()
    for number in range(60):
        held.append(messages(5, start=5 * number))
        held.store.between_writes()
    is_over.set()
    relay.join()

    # Some 2.5 MB were written.
    assert (tmp_path / LOG).stat().st_size < 400 * KIB


def read_in_turn(file: Path, is_over: threading.Event) -> None:
    """Two readers, of which each begins before the other one ends, as under a steady load."""
    reader, other = open_reader(file), open_reader(file)
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
    held, small, tmp_path: Path, caplog
):
    held.append(messages(1))
    reader = open_reader(tmp_path / FILE)
    begin(reader)

    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        for number in range(100):
            held.append(messages(5, start=1 + 5 * number))
            held.store.between_writes()
        took = time.monotonic() - began
    grown = (tmp_path / LOG).stat().st_size
    reader.execute("COMMIT")
    reader.close()
    held.store._checkpoints._impatient_until = float("-inf")
    for number in range(2):
        held.append(messages(5, start=1_000 + 5 * number))
        held.store.between_writes()

    (record,) = caplog.records
    assert "since a program reads one snapshot of the database for long" in record.getMessage()
    # Bounded by the waits up to the bound, one each step: (256 - 128) / 16 of 0.05 s.
    assert took < 8 * 0.05 + 5
    assert grown > 256 * KIB
    # And it begins again once that reader is gone.
    assert not held.store._checkpoints._wal.reaches(200 * KIB)


def test_a_read_of_the_past_holds_no_snapshot_while_it_derives(
    held, monkeypatch: pytest.MonkeyPatch
):
    is_deriving, may_end = threading.Event(), threading.Event()

    def derive_slowly(*arguments):
        is_deriving.set()
        assert may_end.wait(10)
        return derive(*arguments)

    monkeypatch.setattr(history, "derive", derive_slowly)
    held.append(messages(3))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(held.persons, [PersonKey("user", "u")], T0 + 10)
        assert is_deriving.wait(10)
        held.append(messages(1, start=3))
        is_busy, *_ = held.store._checkpoints._checkpoint("RESTART")
        may_end.set()
        (view,) = answer.result(10)

    assert not is_busy
    # And is none the less of one moment: without the message that came meanwhile.
    assert view is not None
    assert view.last_seen == T0 + 2


def test_a_read_of_the_past_is_of_one_moment_whatever_comes_meanwhile(
    held, monkeypatch: pytest.MonkeyPatch
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
    held.append(before)
    keys = [PersonKey("user", "u"), PersonKey("anonymous", "d"), PersonKey("user", "v")]
    expected = held.persons(keys, T0 + 10)
    endpoints = history._endpoints

    def endpoints_slowly(*arguments):
        held.append(meanwhile)
        return endpoints(*arguments)

    monkeypatch.setattr(history, "_endpoints", endpoints_slowly)
    found = held.persons(keys, T0 + 10)
    monkeypatch.undo()
    after = held.persons(keys, T0 + 10)

    assert found == expected
    assert after != expected
