"""A data directory of a former schema opens, with everything that was in it."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from sameas_service.resolver.failures import StoreError
from sameas_service.store.sqlite import migrations
from sameas_service.store.sqlite.store import FILE, SqliteStore
from support.damages import story
from support.histories import GAP
from support.stored import Stored
from support.worlds import expected_dump

FORMER = "m0003_workspace_of_persons"
"""The first migration that a directory of the former schema has not seen."""

FORMER_TABLES = {
    "person": """
        CREATE TABLE person (
            person_id TEXT PRIMARY KEY,
            user INTEGER,
            device INTEGER,
            start_at INTEGER,
            start_id TEXT
        ) STRICT, WITHOUT ROWID
    """,
    "profile": """
        CREATE TABLE profile (
            person_id TEXT PRIMARY KEY,
            traits TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
    """,
}
"""As they were when such directories were made: no migration that was released may change."""

MINE, OTHERS = Rules("default", GAP), Rules("other", 0)


def schema_of(file: Path) -> dict[str, str]:
    """The text of everything that a database has, but for how it is broken into lines."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {name: words_of(sql) for name, sql in rows}


def words_of(sql: str) -> str:
    """SQL without what says nothing: white space, and quotes around a table's new name."""
    return re.sub(r"\s+", " ", sql).replace('"', "").strip()


def filled(directory: Path) -> Path:
    """A directory of the present schema: two workspaces, and one of no messages."""
    with closing(SqliteStore(directory)) as store:
        Stored(store, MINE).append(story())
        Stored(store, OTHERS).append(list(reversed(story())))
        store.workspace("empty", 1)
    return directory


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A directory of the former schema with the same rows."""
    present, directory = filled(tmp_path / "present"), tmp_path / "former"
    directory.mkdir()
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as connection:
        migrations.migrations.apply(Database(connection), stop_before=FORMER)
        connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
        connection.execute(f"ATTACH '{present / FILE}' AS present")
        for table in tables_of(connection):
            columns = ", ".join(
                row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")
            )
            connection.execute(f"INSERT INTO main.{table} SELECT {columns} FROM present.{table}")
    return directory


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """The tables of the former schema."""
    rows = connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")
    return [name for (name,) in rows if not name.startswith(("sqlite_", "_sqlite_"))]


@pytest.mark.parametrize("table", FORMER_TABLES)
def test_the_former_migrations_make_what_they_made(former: Path, table: str) -> None:
    assert schema_of(former / FILE)[table] == words_of(FORMER_TABLES[table])


def workspaces(store: SqliteStore) -> Iterator[tuple[Stored, Rules]]:
    for rules in (MINE, OTHERS):
        yield Stored(store, rules), rules


def test_a_directory_of_the_former_schema_opens_and_dumps_what_the_model_gives(
    former: Path, tmp_path: Path
) -> None:
    with closing(SqliteStore(former)) as store, closing(SqliteStore(tmp_path / "present")) as new:
        for (held, rules), (same, _) in zip(workspaces(store), workspaces(new), strict=True):
            assert held.messages() == same.messages()
            assert held.dump() == same.dump() == expected_dump(held.messages(), rules)
            assert held.changes() == same.changes()

    assert schema_of(former / FILE) == schema_of(tmp_path / "present" / FILE)


def test_what_comes_after_the_migration_is_as_if_there_had_been_none(former: Path) -> None:
    more = [m._replace(position=m.position._replace(message_id=f"{m.message_id}-again"))
            for m in story()]  # fmt: skip

    with closing(SqliteStore(former)) as store:
        for held, rules in workspaces(store):
            before: list[Message] = held.messages()
            held.append(more)
            assert held.dump() == expected_dump([*before, *more], rules)


def test_a_migration_that_fails_half_way_leaves_the_former_tables(
    former: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = schema_of(former / FILE)
    with monkeypatch.context() as patched:
        patched.setattr(
            migrations, "_BY_WORKSPACE", (*migrations._BY_WORKSPACE[:-1], "DROP TABLE nothing")
        )
        with pytest.raises(StoreError):
            SqliteStore(former)

    assert schema_of(former / FILE) == before
    with closing(SqliteStore(former)) as store:
        for held, rules in workspaces(store):
            assert held.dump() == expected_dump(held.messages(), rules)


def test_a_directory_of_the_present_schema_is_left_as_it_is(tmp_path: Path) -> None:
    data = filled(tmp_path / "present")
    before = schema_of(data / FILE)

    SqliteStore(data).close()

    assert schema_of(data / FILE) == before
