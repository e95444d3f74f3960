"""The ledger and the ids, read out piece by piece, also beside a running server.

Each piece is a short read of its own, so that the server's log can be copied back into the
database meanwhile however long the export takes.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sameas_service.domain import person_ids
from sameas_service.domain.message import START, Message, Position
from sameas_service.store.sqlite import marker
from sameas_service.store.sqlite.connection import as_json, one, open_reader
from sameas_service.store.sqlite.ledger import JOINS, MESSAGE, message_of
from sameas_service.store.sqlite.offline import database_file
from sameas_service.store.sqlite.rebuild import UnknownWorkspaceError

PIECE_MESSAGES = 2_000
PIECE_IDS = 1_000

_WORKSPACE = "SELECT id FROM workspace WHERE name = ?"
_LAST_SEQ = "SELECT max(seq) FROM message WHERE workspace = ?"
_SEQ = "SELECT seq FROM message WHERE workspace = ? AND message_id = ?"
_COUNT = "SELECT count(*) FROM message WHERE workspace = ? AND seq > ?"
_MESSAGES = f"""
    SELECT message.seq, {MESSAGE} FROM message {JOINS}
    WHERE message.workspace = ? AND message.seq > ? AND message.seq <= ?
    ORDER BY message.seq LIMIT ?
"""  # noqa: S608
_USERS = """
    SELECT user.id, user.name, canonical.name
    FROM user JOIN user AS canonical ON canonical.id = user.canonical
    WHERE user.workspace = ? AND user.named = 1 AND user.id > ?
    ORDER BY user.id LIMIT ?
"""
_DEVICES = f"""
    SELECT id, name, last_at, last_id FROM device
    WHERE workspace = ? AND id > ? AND last_at <> {START.at}
    ORDER BY id LIMIT ?
"""  # noqa: S608
_ROWS = """
    SELECT json_group_array(json_array(device, start_at, start_id, name)) FROM (
        SELECT span.device, span.start_at, span.start_id, canonical.name
        FROM json_each(?) AS wanted
        JOIN span ON span.device = wanted.value
        LEFT JOIN user AS owner ON owner.id = span.owner
        LEFT JOIN user AS canonical ON canonical.id = owner.canonical
        ORDER BY span.device, span.start_at, span.start_id
    )
"""
_ID = "SELECT id FROM {table} WHERE workspace = ? AND name = ?"
USER, ANONYMOUS = "user", "anonymous"


class Stretch(NamedTuple):
    """An id, and whose it is from an event time on and up to another one.

    Attributes:
        id: the user or anonymous id.
        kind: which of the two.
        person_id: whose messages without a user id these are.
        start: microseconds, included; None for the beginning of time.
        end: microseconds, not included; None for the end of time.
    """

    id: str
    kind: str
    person_id: str
    start: int | None
    end: int | None


class NoSuchPlaceError(Exception):
    """What an export shall go on behind is not in this data directory."""


class Reader:
    """One workspace of a data directory, open for reading."""

    def __init__(self, connection: sqlite3.Connection, workspace: str) -> None:
        """Finds the workspace.

        Raises:
            UnknownWorkspaceError: there is none of that name.
        """
        row = connection.execute(_WORKSPACE, (workspace,)).fetchone()
        if row is None:
            raise UnknownWorkspaceError(workspace)
        self._connection = connection
        self._workspace: int = row[0]
        self._name = workspace

    def place_of(self, message_id: str) -> int:
        """Where a message stands in the ledger.

        Raises:
            NoSuchPlaceError: nowhere.
        """
        row = self._connection.execute(_SEQ, (self._workspace, message_id)).fetchone()
        if row is None:
            raise NoSuchPlaceError
        return int(row[0])

    def messages_behind(self, place: int) -> int:
        """How many messages stand behind a place."""
        row = self._connection.execute(_COUNT, (self._workspace, place)).fetchone()
        return int(row[0])

    def messages(self, place: int) -> Iterator[list[Message]]:
        """The messages behind a place in the order in which they were taken, piece by piece.

        Those that a server takes meanwhile are left out.
        """
        end = self._connection.execute(_LAST_SEQ, (self._workspace,)).fetchone()[0] or 0
        while True:
            rows = self._connection.execute(
                _MESSAGES, (self._workspace, place, end, PIECE_MESSAGES)
            ).fetchall()
            if not rows:
                return
            place = rows[-1][0]
            yield [message_of(orjson.loads(row[1])) for row in rows]

    def stretches(self, last: Stretch | None) -> Iterator[list[Stretch]]:
        """All user ids, then the stretches of all anonymous ids, piece by piece.

        Each row is right as of the moment it is read: where a server takes merges meanwhile,
        an earlier one may be of before and a later one of after.

        Args:
            last: the one that all up to are left out, itself included; None for none.
        """
        users, devices = self._behind(last)
        if last is None or last.kind == USER:
            while rows := self._piece(_USERS, users):
                users = rows[-1][0]
                yield [self._of_user(name, canonical) for _, name, canonical in rows]
        while True:
            with _snapshot(self._connection):
                rows = self._piece(_DEVICES, devices)
                found = self._of_devices(rows)
            if not rows:
                return
            devices = rows[-1][0]
            if last is not None and last.kind == ANONYMOUS:
                found = [one for one in found if not _is_done(one, last)]
            yield found

    def _behind(self, last: Stretch | None) -> tuple[int, int]:
        """The surrogates behind which users and devices are wanted; a device that was begun
        is read again.
        """
        if last is None:
            return 0, 0
        table = "user" if last.kind == USER else "device"
        row = self._connection.execute(
            _ID.format(table=table), (self._workspace, last.id)
        ).fetchone()
        if row is None:
            raise NoSuchPlaceError
        return (row[0], 0) if last.kind == USER else (2**62, row[0] - 1)

    def _piece(self, sql: str, behind: int) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(sql, (self._workspace, behind, PIECE_IDS)).fetchall()

    def _of_user(self, name: str, canonical: str) -> Stretch:
        return Stretch(name, USER, person_ids.of_user(self._name, canonical), None, None)

    def _of_devices(self, devices: Sequence[tuple[Any, ...]]) -> list[Stretch]:
        rows: dict[int, list[tuple[Position, str | None]]] = {row[0]: [] for row in devices}
        for device, at, id_, name in one(self._connection, _ROWS, as_json(list(rows))):
            rows[device].append((Position(at, id_), name))
        return [
            stretch
            for id_, name, *last in devices
            for stretch in self._of_device(name, rows[id_], Position(*last))
        ]

    def _of_device(
        self, device: str, rows: list[tuple[Position, str | None]], last: Position
    ) -> list[Stretch]:
        """A device's stretches; one behind its last message is not there yet."""
        if not rows or rows[0][0] != START:
            rows = [(START, None), *rows]
        ends = [start for start, _ in rows[1:]] + [None]
        return [
            Stretch(
                device,
                ANONYMOUS,
                person_ids.of_segment(self._name, device, start)
                if owner is None
                else person_ids.of_user(self._name, owner),
                None if start == START else _time_of(start),
                None if end is None else _time_of(end),
            )
            for (start, owner), end in zip(rows, ends, strict=True)
            if start <= last
        ]


@contextmanager
def reading(directory: Path, workspace: str, *, derived: bool) -> Iterator[Reader]:
    """A data directory opened for reading, whether or not a server runs on it.

    Args:
        directory: the data directory.
        workspace: which of its workspaces.
        derived: whether the derived tables are read, and not the ledger alone.

    Raises:
        NoDatabaseError: there is no database.
        UnknownWorkspaceError: there is no such workspace.
        RebuildUnfinishedError: the derived tables cannot be used.
    """
    connection = open_reader(database_file(directory))
    try:
        if derived:
            marker.check(connection)
        yield Reader(connection, workspace)
    finally:
        connection.close()


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _time_of(start: Position) -> int:
    """The event time from which on a stretch is; behind a reset that is the next microsecond,
    since a reset is the last of its own.
    """
    return (start.at + 1) // 2


def _is_done(one: Stretch, last: Stretch) -> bool:
    return one.id == last.id and (
        one.start is None or (last.start is not None and one.start <= last.start)
    )
