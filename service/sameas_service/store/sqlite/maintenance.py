"""A database as verify and rebuild use it; see `Maintenance` for the methods."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sameas_service.domain.kinds import KINDS
from sameas_service.resolver.facts import Table, Workspace
from sameas_service.store.sqlite import rebuild_mark
from sameas_service.store.sqlite.connection import Insert

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
_OF_WORKSPACE = {
    "message": "seq IN (SELECT seq FROM message WHERE workspace = :workspace)",
    "user": "workspace = :workspace",
    "device": "workspace = :workspace",
    "link": "source IN (SELECT id FROM user WHERE workspace = :workspace)",
    "span": "device IN (SELECT id FROM device WHERE workspace = :workspace)",
}
"""SQL: a row is one of the workspace, by the index that comes to it in order; not given for
tables with the workspace in their key. Where there is one workspace, all rows are its."""


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
        return self._pieces(_ENTRIES.format(condition=self._condition("message")), workspace)

    def pairs(self, workspace: Workspace) -> Iterator[tuple[Any, ...]]:
        condition = f"{self._condition('message')} AND {_PAIRS}"
        return self._rows(_ENTRIES.format(condition=condition), workspace)

    def names(self, workspace: Workspace, table: str) -> Iterator[tuple[int, str]]:
        columns = "seq, message_id" if table == "message" else "id, name"
        condition = self._condition(table)
        return self._rows(f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY 1", workspace)  # noqa: S608

    def stored(self, workspace: Workspace, table: Table) -> Iterator[tuple[Any, ...]]:
        columns, keys = ", ".join((*table.keys, *table.values)), ", ".join(table.keys)
        condition = self._condition(table.name)
        sql = f"SELECT {columns} FROM {table.name} WHERE {condition} ORDER BY {keys}"  # noqa: S608
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
        if table.name not in _OF_WORKSPACE:
            conditions.append(f"workspace = {workspace.id}")
        sql = f"DELETE FROM {table.name} WHERE {' AND '.join(conditions)}"  # noqa: S608
        with _transaction(self._connection):
            self._connection.executemany(sql, keys)

    def put(self, workspace: Workspace, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        with _transaction(self._connection):
            if table.is_kept:
                self._update(table, rows)
            else:
                self._insert(workspace, table, rows)

    def end_rebuild(self) -> None:
        with _transaction(self._connection):
            rebuild_mark.clear(self._connection)

    def _update(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        (key,), values = table.keys, ", ".join(f"{column} = ?" for column in table.values)
        self._connection.executemany(
            f"UPDATE {table.name} SET {values} WHERE {key} = ?",  # noqa: S608
            [(*cells, surrogate) for surrogate, *cells in rows],
        )

    def _insert(self, workspace: Workspace, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        columns = (*table.keys, *table.values)
        if table.name not in _OF_WORKSPACE:
            columns, rows = (*columns, "workspace"), [(*row, workspace.id) for row in rows]
        insert = Insert(f"{table.name} ({', '.join(columns)})", len(columns))
        insert.run(self._connection, list(rows))

    def _rows(self, sql: str, workspace: Workspace) -> Iterator[Any]:
        return chain.from_iterable(self._pieces(sql, workspace))

    def _pieces(self, sql: str, workspace: Workspace) -> Iterator[list[Any]]:
        cursor = self._connection.execute(sql, {"workspace": workspace.id})
        while rows := cursor.fetchmany(READ_ROWS):
            yield rows

    def _condition(self, table: str) -> str:
        if table not in _OF_WORKSPACE:
            return "workspace = :workspace"
        return _OF_WORKSPACE[table] if len(self.workspaces()) > 1 else "1"


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
