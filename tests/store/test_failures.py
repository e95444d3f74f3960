"""Each of SQLite's result codes, wherever it comes up: what a store raises, and a caller hears."""

import gc
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.resolver.facts import Filter, PersonKey, Rows, Workspace
from sameas_service.resolver.failures import StoreBusy, StoreError, StoreFailed, StoreFull
from sameas_service.resolver.read.timeline import PageQuery
from sameas_service.resolver.resolver import Resolver
from sameas_service.store.sqlite.store import FILE, SqliteStore, open_ledger

T0 = 1_700_000_000_000_000
BY_FAILURE: dict[type[StoreError], list[str]] = {
    StoreError: [
        "ERROR", "ABORT", "INTERRUPT", "SCHEMA", "TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE",
        "RANGE",
    ],
    StoreBusy: ["BUSY", "BUSY_RECOVERY", "BUSY_SNAPSHOT", "BUSY_TIMEOUT", "LOCKED",
                "LOCKED_SHAREDCACHE"],
    StoreFull: ["FULL"],
    StoreFailed: [
        "IOERR", "IOERR_READ", "IOERR_WRITE", "IOERR_FSYNC", "IOERR_SHMSIZE", "IOERR_SHORT_READ",
        "CORRUPT", "CORRUPT_INDEX", "READONLY", "READONLY_DBMOVED", "CANTOPEN", "CANTOPEN_ISDIR",
        "NOTADB", "PROTOCOL", "INTERNAL", "PERM", "NOMEM", "NOTFOUND", "EMPTY", "NOLFS", "AUTH",
        "FORMAT",
    ],
}  # fmt: skip
"""What each code stands for: by the names of the sqlite3 module, without `SQLITE_`."""

FAILURES = {code: failure for failure, codes in BY_FAILURE.items() for code in codes}
REASONS = {
    StoreFull: Reason.DISK_FULL,
    StoreBusy: Reason.STORE_BUSY,
    StoreFailed: Reason.STORE_FAILED,
}


def error_of(code: str) -> sqlite3.Error:
    """An error as the sqlite3 module raises it."""
    error = sqlite3.OperationalError(f"because of {code}")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    error.sqlite_errorname = f"SQLITE_{code}"
    return error


class Broken:
    """A connection of which one statement fails."""

    def __init__(self, connection: sqlite3.Connection, begins: str, error: Exception) -> None:
        """Fails at the statements that begin so."""
        self._connection, self._begins, self._error = connection, begins, error

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.strip().startswith(self._begins):
            raise self._error
        return self._connection.execute(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def message(number: int = 0) -> Message:
    return accept(Call(Kind.TRACK, f"m{number}", T0 + number, user_id="u", event="e"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path)) as opened:
        yield opened


@pytest.fixture
def workspace(store: SqliteStore) -> Workspace:
    return store.workspace("default", 0)


def break_writer(store: SqliteStore, begins: str, error: Exception) -> None:
    store._writer = Broken(store._writer, begins, error)  # type: ignore[assignment]


def break_readers(store: SqliteStore, begins: str, error: Exception) -> None:
    """The connection of the next read, and of each after it."""
    with suppress(StoreError):
        store.ready(1)
    store._idle = [Broken(one, begins, error) for one in store._idle]  # type: ignore[misc]


def mend_readers(store: SqliteStore) -> None:
    """Let reads succeed again, over the same connections."""
    store._idle = [one._connection if isinstance(one, Broken) else one for one in store._idle]


# ---- What the store raises -------------------------------------------------------------------


def test_every_code_that_a_statement_may_end_with_is_tried() -> None:
    """The primary codes are the numbers up to 26; above are only words of a log."""
    tried = {getattr(sqlite3, f"SQLITE_{code}") & 0xFF for code in FAILURES}

    assert tried == set(range(1, 27))


@pytest.mark.parametrize("stage", ["BEGIN", "WITH", "INSERT", "COMMIT"])
@pytest.mark.parametrize("code", FAILURES)
def test_a_write_raises_what_its_code_stands_for_and_keeps_nothing(
    store: SqliteStore, workspace: Workspace, code: str, stage: str
) -> None:
    writer = store._writer
    break_writer(store, stage, error_of(code))

    def work(transaction: Any) -> None:
        from sameas_service.resolver.write.group import append

        append(transaction, workspace, [message()])

    with pytest.raises(StoreError) as raised:
        store.write(work)

    assert type(raised.value) is FAILURES[code]
    assert isinstance(raised.value.__cause__, sqlite3.Error)
    store._writer = writer
    assert not writer.in_transaction
    assert store.scan(lambda reader: reader.count_after(workspace, 0)) == 0
    store.write(work)
    assert store.scan(lambda reader: reader.count_after(workspace, 0)) == 1


@pytest.mark.parametrize("code", FAILURES)
def test_a_read_and_a_scan_raise_what_their_code_stands_for(
    store: SqliteStore, workspace: Workspace, code: str
) -> None:
    works: list[Callable[[], Any]] = [
        lambda: store.read(lambda transaction: transaction.changes(workspace, 0, 1)),
        lambda: store.scan(lambda reader: reader.count_after(workspace, 0)),
        lambda: store.ready(1),
    ]
    for begins in ("SELECT", "BEGIN"):
        break_readers(store, begins, error_of(code))
        for work in works[: 3 if begins == "SELECT" else 1]:
            with pytest.raises(StoreError) as raised:
                work()
            assert type(raised.value) is FAILURES[code]
        store._idle = [one._connection for one in store._idle]  # type: ignore[attr-defined]
    assert works[0]() == []


@pytest.mark.parametrize("stage", ["connect", "PRAGMA", "CREATE", "SELECT"])
@pytest.mark.parametrize("code", FAILURES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_opening_raises_what_its_code_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, stage: str
) -> None:
    class BrokenConnection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.strip().startswith(stage):
                raise error_of(code)
            return super().execute(sql, *parameters)

    connect = sqlite3.connect

    def connect_or_fail(*arguments: Any, **named: Any) -> sqlite3.Connection:
        if stage == "connect":
            raise error_of(code)
        return connect(*arguments, factory=BrokenConnection, **named)

    (tmp_path / FILE).touch()
    # Who only reads makes no tables.
    for open_ in (SqliteStore,) if stage == "CREATE" else (SqliteStore, opened_to_read):
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", connect_or_fail)
            with pytest.raises(StoreError) as raised:
                open_(tmp_path)
        assert type(raised.value) is FAILURES[code]
    del raised
    gc.collect()  # what was left open after an error of the disk


def opened_to_read(directory: Path) -> None:
    with open_ledger(directory) as reader:
        reader.workspace("default")


@pytest.mark.parametrize(
    "error",
    [sqlite3.ProgrammingError("a fault of ours"), sqlite3.InterfaceError("a fault of ours")],
)
def test_an_error_of_the_module_itself_is_a_fault_of_ours(
    store: SqliteStore, workspace: Workspace, error: Exception
) -> None:
    break_writer(store, "WITH", error)

    with pytest.raises(StoreError) as raised:
        store.write(lambda tx: tx.resolve(workspace, []))

    assert type(raised.value) is StoreError
    store._writer = store._writer._connection  # type: ignore[attr-defined]


def test_a_code_that_is_not_known_is_taken_for_a_failed_disk(
    store: SqliteStore, workspace: Workspace
) -> None:
    error = sqlite3.OperationalError("of a SQLite to come")
    error.sqlite_errorcode = 99
    break_writer(store, "WITH", error)

    with pytest.raises(StoreFailed):
        store.write(lambda tx: tx.resolve(workspace, []))
    store._writer = store._writer._connection  # type: ignore[attr-defined]


# ---- What causes them ------------------------------------------------------------------------


def fill(store: SqliteStore) -> Exception | None:
    """Write until that fails: the error."""
    workspace = store.workspace("default", 0)
    for number in range(100):
        rows = Rows(profiles={f"p{number}": "x" * 40_000})
        try:
            store.write(lambda tx, rows=rows: tx.apply(workspace, rows))
        except Exception as error:  # noqa: BLE001  (the finding)
            return error
    return None


def test_a_database_that_may_not_grow_is_full(store: SqliteStore) -> None:
    store._writer.execute("PRAGMA max_page_count = 100")

    assert type(fill(store)) is StoreFull


def test_a_row_that_is_too_large_is_a_fault_of_ours(store: SqliteStore) -> None:
    store._writer.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)

    assert type(fill(store)) is StoreError


def test_a_row_that_is_there_already_is_a_fault_of_ours(
    store: SqliteStore, workspace: Workspace
) -> None:
    from sameas_service.domain.receipt import Outcome
    from sameas_service.resolver.facts import MessageRow

    rows = Rows(messages=[MessageRow(message(), Outcome.CREATED, None, None, None, None)] * 2)

    with pytest.raises(StoreError) as raised:
        store.write(lambda tx: tx.apply(workspace, rows))

    assert type(raised.value) is StoreError
    assert store.scan(lambda reader: reader.count_after(workspace, 0)) == 0


WHO_WRITES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
sys.stdin.read()
"""


def test_another_program_that_writes_makes_the_store_busy_for_writes_alone(
    store: SqliteStore, workspace: Workspace
) -> None:
    store._writer.execute("PRAGMA busy_timeout = 50")
    command = [sys.executable, "-c", WHO_WRITES, str(store._path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()

        with pytest.raises(StoreBusy):
            store.write(lambda tx: tx.resolve(workspace, []))
        assert store.ready(1)

    assert store.write(lambda tx: tx.resolve(workspace, [])) == []


def test_a_database_that_may_not_be_written_has_failed(
    store: SqliteStore, workspace: Workspace
) -> None:
    store._writer.execute("PRAGMA query_only = ON")

    with pytest.raises(StoreFailed):
        store.write(lambda tx: tx.apply(workspace, Rows(profiles={"p": "{}"})))
    store._writer.execute("PRAGMA query_only = OFF")


def test_pages_that_were_overwritten_have_failed(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as opened:
        fill(opened)
    size = (tmp_path / FILE).stat().st_size
    with closing(SqliteStore(tmp_path)) as opened:
        workspace = opened.workspace("default", 0)
        with (tmp_path / FILE).open("r+b") as file:
            file.seek(20 * 4_096)
            file.write(os.urandom(size - 20 * 4_096))
        names = [f"p{number}" for number in range(100)]

        with pytest.raises(StoreFailed):
            opened.write(lambda tx: tx.profiles(workspace, names), keep=False)


def test_a_reader_of_a_database_that_is_gone_has_failed(
    store: SqliteStore, workspace: Workspace
) -> None:
    aside = store._path.rename(f"{store._path}.aside")

    with pytest.raises(StoreFailed):
        store.ready(1)
    aside.rename(store._path)


# ---- What callers hear -----------------------------------------------------------------------

Ask = Callable[[Resolver, Workspace], Awaitable[Any]]
KEY = PersonKey("user", "u")


async def followed(resolver: Resolver, workspace: Workspace) -> None:
    async for _ in resolver.follow(workspace, 0, until_present=True):
        pass


WRITES: dict[str, Ask] = {
    "append": lambda resolver, workspace: resolver.append(workspace, [message(1)]),
    "report": lambda resolver, workspace: resolver.report(workspace, message(2), keep=True),
    "preview": lambda resolver, workspace: resolver.report(workspace, message(3), keep=False),
}
READS: dict[str, Ask] = {
    "persons": lambda resolver, workspace: resolver.persons(workspace, [KEY]),
    "messages": lambda resolver, workspace: resolver.messages(
        workspace, PageQuery(KEY, Filter(), None, 10)
    ),
    "follow": followed,
}
SCANS: dict[str, Ask] = {
    "persons as of": lambda resolver, workspace: resolver.persons(workspace, [KEY], as_of=T0),
    "messages as of": lambda resolver, workspace: resolver.messages(
        workspace, PageQuery(KEY, Filter(), None, 10), as_of=T0
    ),
    "explain": lambda resolver, workspace: resolver.explain(workspace, (KEY, KEY)),
}
ASKS = WRITES | READS | SCANS


async def outcome(ask: Ask, resolver: Resolver, workspace: Workspace) -> Any:
    """The reason of a refusal, the type of another error, or None."""
    try:
        await ask(resolver, workspace)
    except Refused as refused:
        return refused.reason
    except Exception as error:  # noqa: BLE001  (the finding)
        return type(error)
    return None


TRIED = [(code, "append") for code in FAILURES] + [
    (codes[0], ask) for codes in BY_FAILURE.values() for ask in ASKS if ask != "append"
]
"""Every code at one call, and one of each failure at every other."""


@pytest.mark.parametrize(("code", "ask"), TRIED)
async def test_a_caller_hears_what_a_code_means_and_only_a_failed_store_ends_the_server(
    store: SqliteStore, workspace: Workspace, code: str, ask: str
) -> None:
    calls: list[str] = []
    resolver = Resolver(Unclosed(store), on_failure=lambda: calls.append("failed"))
    writer = store._writer
    await resolver.append(workspace, [message(0)])
    break_writer(store, "BEGIN", error_of(code))
    break_readers(store, "SELECT" if ask in SCANS else "BEGIN", error_of(code))

    heard = [await outcome(ASKS[ask], resolver, workspace) for _ in range(2)]
    others = {await outcome(one, resolver, workspace) for one in ASKS.values()}
    readiness = await outcome(is_ready, resolver, workspace)
    store._writer = writer
    mend_readers(store)
    again = await outcome(ASKS[ask], resolver, workspace)
    await resolver.close()

    failure = FAILURES[code]
    assert heard == [REASONS.get(failure, failure)] * 2
    assert readiness is (failure if failure is StoreError else NotReady)
    if failure is StoreFailed:
        # From then on everything is refused, whether or not it would succeed.
        assert others == {Reason.STORE_FAILED}
        assert (again, calls) == (Reason.STORE_FAILED, ["failed"])
    else:
        assert (again, calls) == (None, [])


class NotReady(Exception):
    """The store does not answer."""


async def is_ready(resolver: Resolver, _: Workspace) -> None:
    """See to it that the store answers."""
    if not await resolver.ready():
        raise NotReady


class Unclosed:
    """A store that the fixture closes."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        """Leave it open."""


# ---- Failures on the way of a failure -----------------------------------------------------


def test_a_wal_file_that_cannot_be_read_has_failed(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read past SQLite, so the error is the system's."""

    def unreadable() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store._checkpoints, "run_if_due", unreadable)

    with pytest.raises(StoreFailed):
        store.between_writes()


def test_a_rollback_that_fails_hides_no_failure_and_passes_no_drivers_error(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Torn:
        """The connection, which does not roll back."""

        in_transaction = True

        def execute(self, sql: str, *_: Any) -> Any:
            if sql == "BEGIN IMMEDIATE":
                return None
            raise sqlite3.OperationalError(sql)

    monkeypatch.setattr(store, "_writer", Torn())

    with pytest.raises(StoreError, match="SELECT"):
        store.write(lambda tx: tx._connection.execute("SELECT"))
    monkeypatch.undo()
