"""What SQLite's statements cost: what they are about, whatever else the tables hold."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from sameas_service.store.sqlite import ledger, reads, writes
from sameas_service.store.sqlite.connection import open_reader
from sameas_service.store.sqlite.store import FILE, SqliteStore

FRAGMENTS = {"reads._VISITOR", "writes._LINKS"}
"""Parts of others, and never asked by themselves."""

FOLLOWS = {"reads._CHANGES"}
"""They read on from a number, and end at their limit."""


def statements(module: ModuleType) -> dict[str, str]:
    """The statements of a module by name; what `WITH` alone begins is completed."""
    found = {
        name: sql
        for name, sql in vars(module).items()
        if isinstance(sql, str) and sql.lstrip().startswith(("SELECT", "WITH"))
    }
    if "_LINKED" in found:
        found["_LINKED"] += "SELECT 1 FROM kin"
    return found


STATEMENTS = {
    full_name: sql
    for module in (ledger, reads, writes)
    for name, sql in statements(module).items()
    if (full_name := f"{module.__name__.rsplit('.', 1)[1]}.{name}") not in FRAGMENTS
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A connection that reads an empty data directory."""
    directory: Path = tmp_path_factory.mktemp("data")
    with (
        closing(SqliteStore(directory)),
        closing(open_reader(directory / FILE)) as reader,
    ):
        yield reader


def test_all_statements_are_looked_at():
    """So that a change of how they are written does not leave the next test without any."""
    assert {name.split(".")[0] for name in STATEMENTS} == {"ledger", "reads", "writes"}
    assert len(STATEMENTS) > 35


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_no_statement_scans_a_table(connection: sqlite3.Connection, name: str):
    plan = explained(connection, STATEMENTS[name])
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    # What a statement calls by the name of a table is not that table.
    renamed = set(re.findall(r"FROM wanted_\w+ AS (\w+)", STATEMENTS[name]))

    assert plan
    assert [
        step for step in plan if step.startswith("SCAN") and step.split()[1] in tables - renamed
    ] == []
    # `(column>?)` would be all that has the column.
    ranges = [step for step in plan if re.search(r"\((?!device=\? AND )\w+>\?\)", step)]
    assert ranges == [] or name in FOLLOWS


def explained(connection: sqlite3.Connection, sql: str) -> list[str]:
    """The steps of a statement, as SQLite plans them."""
    parameters = dict.fromkeys(re.findall(r":(\w+)", sql), "[]")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
