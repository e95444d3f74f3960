"""The mark of a rebuild under way: while it stands, the derived tables are not to be used."""

import sqlite3

_REBUILD = "rebuild"


class RebuildUnfinishedError(Exception):
    """A rebuild was interrupted, so some derived tables are new and some are not."""

    def __init__(self) -> None:
        super().__init__(
            "a rebuild of this data directory was interrupted, so its tables cannot be used; "
            "run `sameas rebuild` again, which finishes it (the ledger itself is whole)"
        )


def check(connection: sqlite3.Connection) -> None:
    """Lets pass where no rebuild is under way.

    Raises:
        RebuildUnfinishedError: one was interrupted.
    """
    if is_set(connection):
        raise RebuildUnfinishedError


def is_set(connection: sqlite3.Connection) -> bool:
    """Whether a rebuild is under way or was interrupted."""
    sql = "SELECT 1 FROM maintenance WHERE task = ?"
    return connection.execute(sql, (_REBUILD,)).fetchone() is not None


def set_(connection: sqlite3.Connection) -> None:
    """Marks a rebuild's beginning, inside the caller's transaction."""
    connection.execute("INSERT INTO maintenance VALUES (?) ON CONFLICT DO NOTHING", (_REBUILD,))


def clear(connection: sqlite3.Connection) -> None:
    """Marks its end."""
    connection.execute("DELETE FROM maintenance WHERE task = ?", (_REBUILD,))
