"""A store that cannot be opened leaves nothing behind: no lock, and no open file."""

import gc
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sameas_service.resolver.failures import (
    NoStore,
    RebuildUnfinished,
    StoreError,
    StoreFailed,
    StoreInUse,
)
from sameas_service.store.sqlite import migrations, store
from sameas_service.store.sqlite.lock import DirectoryLock
from sameas_service.store.sqlite.store import FILE, SqliteStore, open_ledger, open_maintenance
from support.damages import damage, filled, story

READ_VERSION_AT, WRITE_VERSION_AT = 19, 18
"""In the file's header: which SQLite may read and write it; 2 is WAL, and more than that is of
a SQLite to come."""


def open_files() -> set[str]:
    """What this process has open, by name."""
    found = set()
    for handle in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(handle.readlink()))
        except FileNotFoundError:  # the handle on the directory itself
            continue
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that a server left behind."""
    return filled(tmp_path / "data", story())


def no_database(data: Path) -> None:
    (data / FILE).write_bytes(b"not a database, but long enough to be looked at" * 99)


def empty_pages(data: Path) -> None:
    """The header alone is whole."""
    content = (data / FILE).read_bytes()
    (data / FILE).write_bytes(content[:100] + bytes(len(content) - 100))


def to_be_read_by_a_later_sqlite(data: Path) -> None:
    set_byte(data / FILE, READ_VERSION_AT, 3)


def to_be_written_by_a_later_sqlite(data: Path) -> None:
    set_byte(data / FILE, WRITE_VERSION_AT, 3)


def set_byte(file: Path, at: int, value: int) -> None:
    with file.open("r+b") as handle:
        handle.seek(at)
        handle.write(bytes([value]))


def a_directory(data: Path) -> None:
    (data / FILE).unlink()
    (data / FILE).mkdir()


def a_log_that_is_a_directory(data: Path) -> None:
    (data / f"{FILE}-wal").mkdir()


def tables_of_somebody_else(data: Path) -> None:
    with closing(sqlite3.connect(data / FILE)) as connection:
        connection.execute("DROP TABLE message")
        connection.execute("DELETE FROM _sqlite_migrations")
        connection.commit()


def half_a_rebuild(data: Path) -> None:
    damage(data, "INSERT INTO maintenance VALUES ('rebuild')")


SPOILED: dict[Callable[[Path], None], type[StoreError]] = {
    no_database: StoreFailed,
    empty_pages: StoreFailed,
    to_be_read_by_a_later_sqlite: StoreFailed,
    a_directory: StoreFailed,
    a_log_that_is_a_directory: StoreFailed,
    tables_of_somebody_else: StoreError,
    half_a_rebuild: RebuildUnfinished,
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_directory_that_cannot_be_opened_is_left_without_a_lock_or_an_open_file(
    data: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(data)
    before = open_files()

    with pytest.raises(StoreError) as refused:
        SqliteStore(data)

    # `refused` keeps the failed constructor's variables alive, so nothing is closed by chance.
    assert type(refused.value) is SPOILED[spoil]
    assert open_files() == before
    DirectoryLock(data).release()


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_ledger_that_cannot_be_read_is_left_without_an_open_file(
    data: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(data)
    before = open_files()

    with pytest.raises(StoreError) as refused, open_ledger(data, derived=True):
        pass

    assert isinstance(refused.value, SPOILED[spoil] | NoStore)
    assert open_files() == before


@pytest.mark.parametrize(
    "spoil", [s for s in SPOILED if s is not half_a_rebuild], ids=lambda spoil: spoil.__name__
)
def test_a_directory_that_cannot_be_maintained_is_left_without_a_lock_or_an_open_file(
    data: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(data)
    before = open_files()

    with pytest.raises(StoreError) as refused, open_maintenance(data):
        pass

    assert isinstance(refused.value, SPOILED[spoil] | NoStore)
    assert open_files() == before
    DirectoryLock(data).release()


def test_what_a_later_sqlite_alone_may_write_is_refused_at_the_first_write(data: Path) -> None:
    to_be_written_by_a_later_sqlite(data)

    with closing(SqliteStore(data)) as opened, pytest.raises(StoreFailed):
        opened.workspace("default", 0)


def test_the_next_process_opens_what_was_put_right(data: Path) -> None:
    half_a_rebuild(data)
    with pytest.raises(RebuildUnfinished):
        SqliteStore(data)

    damage(data, "DELETE FROM maintenance")

    SqliteStore(data).close()


def test_a_directory_in_use_is_refused_and_stays_in_use(data: Path) -> None:
    with closing(SqliteStore(data)):
        before = open_files()
        for _ in range(2):
            with pytest.raises(StoreInUse, match=f"process {os.getpid()}"):
                SqliteStore(data)
        assert open_files() == before
    SqliteStore(data).close()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Migrations that are interrupted, as by a signal."""

    def interrupt(_: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrate", interrupt)
        yield


def test_a_constructor_that_is_interrupted_leaves_nothing(data: Path, interrupted: None) -> None:
    before = open_files()

    with pytest.raises(KeyboardInterrupt):
        SqliteStore(data)

    assert open_files() == before
    DirectoryLock(data).release()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", ["open_writer", "Checkpoints", "Guard"])
def test_after_an_error_of_the_disk_a_constructor_closes_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """To close a database writes and syncs again, which may seem to succeed: the process ends."""
    made = getattr(store, name)
    closed: list[str] = []

    class Noted(sqlite3.Connection):
        def close(self) -> None:
            closed.append("close")
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **named: connect(*args, factory=Noted, **named)
    )

    def fail(*arguments: object) -> object:
        made(*arguments)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    monkeypatch.setattr(store, name, fail)

    with pytest.raises(StoreFailed) as refused:
        SqliteStore(data)

    assert closed == []
    with pytest.raises(StoreInUse):
        DirectoryLock(data)
    del refused
    gc.collect()  # what the constructor had open when it gave up: the process would end here
