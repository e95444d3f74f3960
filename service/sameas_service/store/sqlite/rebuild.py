"""Replaces the derived tables by what the ledger gives.

First all of it is computed, beside the database; an interruption then has changed nothing.
Then the tables are replaced, piece by piece, each piece a transaction; from the first on a
mark stands in the database, with which no server starts. Whatever happens in between, to run
it again finishes it, since the ledger is only read.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sameas_service.store.sqlite import derived, marker
from sameas_service.store.sqlite.derived import ROWS_TOGETHER, Progress
from sameas_service.store.sqlite.offline import opened, transaction
from sameas_service.store.sqlite.scratch import TABLES, Table


class NamesLostError(Exception):
    """The ledger speaks of devices or users whose names are gone: they stand nowhere else."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"the names of {count:,} devices or users of the ledger are lost, which nothing "
            "can compute; restore the data directory from a backup"
        )


class UnknownWorkspaceError(Exception):
    """There is no such workspace."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no workspace {name}")


class Gap(NamedTuple):
    """A session gap for a workspace, in microseconds."""

    workspace: str
    session_gap: int


def rebuild(directory: Path, gap: Gap | None, progress: Progress) -> int:
    """Computes the derived tables from the ledger and puts them in place.

    Args:
        directory: the data directory.
        gap: another session gap for a workspace, from now on and for the past.
        progress: told of each step.

    Returns:
        How many messages the ledger has.

    Raises:
        NoDatabaseError: there is no database.
        DirectoryBusyError: a server has it open.
        NamesLostError: the ledger itself is not whole; nothing was changed.
        UnknownWorkspaceError: the gap's workspace is not there; nothing was changed.
    """
    with opened(directory) as connection:
        gaps = {} if gap is None else {_workspace(connection, gap.workspace): gap.session_gap}
        messages = derived.compute(connection, gaps, progress)
        lost = derived.names_lost(connection)
        if lost:
            raise NamesLostError(lost)
        with transaction(connection):
            marker.set_(connection)
            connection.executemany(
                "UPDATE workspace SET session_gap = ? WHERE id = ?",
                [(session_gap, workspace) for workspace, session_gap in gaps.items()],
            )
        for number, table in enumerate(TABLES):
            progress("replacing", number, len(TABLES))
            _replace(connection, table)
        with transaction(connection):
            marker.clear(connection)
        progress("replacing", len(TABLES), len(TABLES))
    return messages


def _workspace(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT id FROM workspace WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UnknownWorkspaceError(name)
    found: int = row[0]
    return found


def _replace(connection: sqlite3.Connection, table: Table) -> None:
    """Replaces a table's rows, or of the ledger's own tables the derived columns."""
    for within, bounds in _pieces(connection, table):
        with transaction(connection):
            if table.is_kept:
                connection.execute(_update(table, within), bounds)
            else:
                connection.execute(f"DELETE FROM main.{table.name} WHERE {within}", bounds)  # noqa: S608
                connection.execute(_insert(table, within), bounds)


def _pieces(connection: sqlite3.Connection, table: Table) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Conditions, with their parameters, that part a table into pieces by ranges of its key."""
    keys = ", ".join(table.keys)
    marks = ", ".join("?" * len(table.keys))
    low: tuple[Any, ...] = ()
    while True:
        above = f"({keys}) > ({marks})" if low else "1"
        high = connection.execute(
            f"SELECT {keys} FROM fresh.{table.name} WHERE {above} ORDER BY {keys} "  # noqa: S608
            f"LIMIT 1 OFFSET {ROWS_TOGETHER - 1}",
            low,
        ).fetchone()
        if high is None:
            yield above, low
            return
        yield f"{above} AND ({keys}) <= ({marks})", (*low, *high)
        low = high


def _insert(table: Table, within: str) -> str:
    columns = ", ".join((*table.keys, *table.values))
    return f"""
        INSERT INTO main.{table.name} ({columns})
        SELECT {columns} FROM fresh.{table.name} WHERE {within}
    """  # noqa: S608


def _update(table: Table, within: str) -> str:
    (key,) = table.keys
    values = ", ".join(table.values)
    return f"""
        UPDATE main.{table.name}
        SET ({values}) = (
            SELECT {values} FROM fresh.{table.name} AS wanted
            WHERE wanted.{key} = {table.name}.{key}
        )
        WHERE {key} IN (SELECT {key} FROM fresh.{table.name} WHERE {within})
    """  # noqa: S608
