"""SQLite's WAL-reset bug: which versions have it, and the warning where that matters."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.resolver.resolver import Resolver
from sameas_service.store.sqlite import wal_reset_bug
from sameas_service.store.sqlite.store import FILE, SqliteStore

VULNERABLE, FIXED = (3, 40, 1), (3, 51, 3)
needs_proc = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="WHO HAS THE DATABASE OPEN WAS NOT TRIED: no Linux"
)
OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM message").fetchone(), flush=True)
sys.stdin.read()
"""


@contextmanager
def opened_elsewhere(data: Path, *words: str) -> Iterator[int]:
    """Another process that has the database open, without a transaction; its id."""
    command = [sys.executable, "-c", OPEN, str(data / FILE), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory that this process serves."""
    with closing(SqliteStore(tmp_path)):
        yield tmp_path


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_a_version_has_the_bug_unless_it_was_fixed_there(version, has_it):
    assert wal_reset_bug.is_vulnerable(version) is has_it


@pytest.mark.parametrize("version", [VULNERABLE, FIXED])
def test_the_log_names_the_engine_and_its_bug(monkeypatch, version):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    assert wal_reset_bug.described().startswith(f"SQLite {sqlite3.sqlite_version}")
    assert ("WAL-reset bug" in wal_reset_bug.described()) is (version == VULNERABLE)


@needs_proc
def test_another_program_with_the_database_open_is_warned_of_once(data, caplog):
    guard = wal_reset_bug.Guard(data / FILE, VULNERABLE)

    with opened_elsewhere(data) as process, caplog.at_level(logging.WARNING):
        guard.look()
        guard.look()

    (record,) = caplog.records
    assert f"process {process} ({sys.executable} -c" in record.getMessage()
    assert "3.51.3 or later" in record.getMessage()


def test_a_store_looks_once_in_some_seconds_and_not_after_each_write(tmp_path, monkeypatch):
    with closing(SqliteStore(tmp_path)) as store:
        looks: list[float] = []
        monkeypatch.setattr(store._guard, "look", lambda: looks.append(store._look_at))

        for _ in range(5):
            store.between_writes()
        assert looks == []
        store._look_at = float("-inf")
        for _ in range(5):
            store.between_writes()

    assert len(looks) == 1


@needs_proc
@pytest.mark.parametrize(
    ("version", "words"), [(FIXED, ()), (VULNERABLE, ("sameas", "export", "out.jsonl"))]
)
def test_a_fixed_engine_and_an_export_beside_the_server_are_not_warned_of(
    data, caplog, version, words
):
    guard = wal_reset_bug.Guard(data / FILE, version)

    with opened_elsewhere(data, *words) as process, caplog.at_level(logging.WARNING):
        guard.look()
        assert wal_reset_bug.holders([data / FILE]) == [process]

    assert caplog.records == []


@needs_proc
def test_a_server_alone_warns_of_nobody(data, caplog):
    with caplog.at_level(logging.WARNING):
        wal_reset_bug.Guard(data / FILE, VULNERABLE).look()

    assert caplog.records == []
    assert wal_reset_bug.holders([data / FILE, data / "nothing"]) == []


async def test_while_another_program_writes_all_calls_of_a_group_are_refused_at_once(tmp_path):
    """And not one by one, each after a wait of its own."""
    store = SqliteStore(tmp_path)
    resolver, workspace = Resolver(store), store.workspace("default", 0)
    store._writer.execute("PRAGMA busy_timeout = 200")
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    calls = [
        [accept(Call(Kind.TRACK, f"m{n}", 1_700_000_000_000_000, user_id="u", event="e"))]
        for n in range(20)
    ]

    answers = asyncio.gather(
        *(resolver.append(workspace, call) for call in calls), return_exceptions=True
    )
    refused = await asyncio.wait_for(answers, 2)
    other.execute("ROLLBACK")
    other.close()
    (receipts,) = {len(await resolver.append(workspace, call)) for call in calls}
    await resolver.close()

    assert {isinstance(one, Refused) and one.reason for one in refused} == {Reason.STORE_BUSY}
    assert receipts == 1
