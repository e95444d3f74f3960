"""The mark of a rebuild under way: while it is there, the derived tables are not to be used."""

import sqlite3

from sameas_service.resolver.failures import RebuildUnfinished

_REBUILD = "rebuild"


def check(connection: sqlite3.Connection) -> None:
    """Return where no rebuild is under way.

    Raises:
        RebuildUnfinished: one was interrupted.
    """
    if is_set(connection):
        raise RebuildUnfinished


def is_set(connection: sqlite3.Connection) -> bool:
    """Return whether a rebuild is under way or was interrupted."""
    sql = "SELECT 1 FROM maintenance WHERE task = ?"
    return connection.execute(sql, (_REBUILD,)).fetchone() is not None


def set_(connection: sqlite3.Connection) -> None:
    """Mark a rebuild's beginning, inside the caller's transaction."""
    connection.execute("INSERT INTO maintenance VALUES (?) ON CONFLICT DO NOTHING", (_REBUILD,))


def clear(connection: sqlite3.Connection) -> None:
    """Mark its end."""
    connection.execute("DELETE FROM maintenance WHERE task = ?", (_REBUILD,))
