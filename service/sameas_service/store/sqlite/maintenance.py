"""A database as verify and rebuild use it; see `Maintenance` for the methods."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sameas_service.domain.kinds import KINDS
from sameas_service.resolver.facts import Table, Workspace
from sameas_service.store.sqlite import rebuild_mark

READ_ROWS = 500
"""Rows that are read together; each may have a payload of 32 KiB."""

_UNLINKS = ", ".join(str(int(kind)) for kind, traits in KINDS.items() if not traits.on_timeline)
_SPEAKING = ", ".join(str(int(kind)) for kind, traits in KINDS.items() if traits.speaks)
_ENTRIES = f"""
    SELECT
        seq, at, message_id, kind, device, ifnull(user, struck), source, user, struck, speaks,
        iif(kind IN ({_SPEAKING}, {_UNLINKS}), payload, '')
    FROM message
    WHERE {{condition}}
    ORDER BY seq
"""  # noqa: S608
_PAIRS = f"(source IS NOT NULL OR kind IN ({_UNLINKS}))"
# The plus keeps SQLite from following the index of message ids and sorting: three times as slow.
_ALL = "+workspace = :workspace"
_SOME = "seq IN (SELECT seq FROM message WHERE workspace = :workspace)"
# A row of a device or user that is not there belongs to the first workspace.
_OWNED = """
    ifnull((SELECT workspace FROM {0} WHERE {0}.id = {1}), (SELECT min(id) FROM workspace))
        = :workspace
"""
_WITHIN = {
    "link": _OWNED.format("user", "link.source"),
    "span": _OWNED.format("device", "span.device"),
    "user": _ALL,
    "device": _ALL,
}
"""SQL: a row is one of the workspace; where a table is missing it is so by its column."""


class SqliteMaintenance:
    """The whole of a database, by one connection to it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def workspaces(self) -> list[Workspace]:
        sql = "SELECT id, name, session_gap FROM workspace ORDER BY id"
        return [Workspace(*row) for row in self._connection.execute(sql)]

    def count(self, workspace: Workspace) -> int:
        sql = "SELECT count(*) FROM message WHERE workspace = :workspace"
        found: int = self._connection.execute(sql, {"workspace": workspace.id}).fetchone()[0]
        return found

    def entries(self, workspace: Workspace) -> Iterator[list[tuple[Any, ...]]]:
        condition = _ALL if len(self.workspaces()) == 1 else _SOME
        return self._pieces(_ENTRIES.format(condition=condition), workspace)

    def pairs(self, workspace: Workspace) -> Iterator[tuple[Any, ...]]:
        return self._rows(_ENTRIES.format(condition=f"{_ALL} AND {_PAIRS}"), workspace)

    def names(self, workspace: Workspace, table: str) -> Iterator[tuple[int, str]]:
        columns = "seq, message_id" if table == "message" else "id, name"
        return self._rows(f"SELECT {columns} FROM {table} WHERE {_ALL} ORDER BY 1", workspace)  # noqa: S608

    def stored(self, workspace: Workspace, table: Table) -> Iterator[tuple[Any, ...]]:
        columns, keys = ", ".join((*table.keys, *table.values)), ", ".join(table.keys)
        sql = f"SELECT {columns} FROM {table.name} WHERE {_within(table)} ORDER BY {keys}"  # noqa: S608
        return self._rows(sql, workspace)

    def is_rebuilding(self) -> bool:
        return rebuild_mark.is_set(self._connection)

    def begin_rebuild(self, session_gaps: dict[int, int]) -> None:
        with _transaction(self._connection):
            rebuild_mark.set_(self._connection)
            self._connection.executemany(
                "UPDATE workspace SET session_gap = ? WHERE id = ?",
                [(session_gap, workspace) for workspace, session_gap in session_gaps.items()],
            )

    def remove(self, workspace: Workspace, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        conditions = [f"{key} = ?" for key in table.keys]
        if table.name not in _WITHIN:
            conditions.append(f"workspace = {workspace.id}")
        sql = f"DELETE FROM {table.name} WHERE {' AND '.join(conditions)}"  # noqa: S608
        with _transaction(self._connection):
            self._connection.executemany(sql, keys)

    def put(self, workspace: Workspace, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        columns, cells = [*table.keys, *table.values], ["?"] * len((*table.keys, *table.values))
        if table.name not in _WITHIN:
            columns.append("workspace")
            cells.append(str(workspace.id))
        sql = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join(cells)})"  # noqa: S608
        if table.is_kept:
            (key,), values = table.keys, ", ".join(f"{column} = ?" for column in table.values)
            sql = f"UPDATE {table.name} SET {values} WHERE {key} = ?"  # noqa: S608
            rows = [(*cells, surrogate) for surrogate, *cells in rows]
        with _transaction(self._connection):
            self._connection.executemany(sql, rows)

    def end_rebuild(self) -> None:
        with _transaction(self._connection):
            rebuild_mark.clear(self._connection)

    def _rows(self, sql: str, workspace: Workspace) -> Iterator[Any]:
        return chain.from_iterable(self._pieces(sql, workspace))

    def _pieces(self, sql: str, workspace: Workspace) -> Iterator[list[Any]]:
        cursor = self._connection.execute(sql, {"workspace": workspace.id})
        while rows := cursor.fetchmany(READ_ROWS):
            yield rows


def _within(table: Table) -> str:
    return _WITHIN.get(table.name, "workspace = :workspace")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all that is written inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
