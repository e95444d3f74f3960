"""New rows of the ledger, and of the person ids that its messages hand out."""

import sqlite3
from typing import Any

from sameas_service.domain import person_ids
from sameas_service.domain.message import Message
from sameas_service.store.sqlite import ledger
from sameas_service.store.sqlite.changes import ChangeLog
from sameas_service.store.sqlite.connection import Insert
from sameas_service.store.sqlite.subject import Segment, Verdict, Workspace
from sameas_service.store.sqlite.users import User, Users

_INSERT_PERSON = Insert("person", 5, "ON CONFLICT DO NOTHING")


class Rows:
    """Collects rows, so that many are written by few statements.

    Attributes:
        verdicts: what each message did, by message id.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        workspace: Workspace,
        users: Users,
        changes: ChangeLog,
        next_seq: int,
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._users = users
        self._changes = changes
        self._next_seq = next_seq
        self._messages: list[tuple[Any, ...]] = []
        self._persons: list[tuple[Any, ...]] = []
        self.verdicts: dict[str, Verdict] = {}

    def keep(
        self, verdict: Verdict, device: int | None, user: int | None, source: int | None = None
    ) -> None:
        """Puts a message into the ledger, with the surrogates of what it names."""
        message = verdict.message
        if user is not None and not self._users.by_id[user].named:
            self._users.set_named(user, named=True)
            self._changes.user(message.message_id, user)
        self._add(message, (device, user, source, None), verdict)

    def keep_apart(self, verdict: Verdict, source: int | None, struck: int | None) -> None:
        """Puts a message into the ledger that stands on nobody's timeline: an unlink, or a
        struck link, with the user that it names without counting.
        """
        message = verdict.message
        ids = (None, None, source, struck)
        self._add(message, ids, verdict)

    def _add(
        self,
        message: Message,
        ids: tuple[int | None, int | None, int | None, int | None],
        verdict: Verdict,
    ) -> None:
        row = ledger.row_of(self._next_seq, self._workspace.id, message, ids, verdict.outcome)
        self._messages.append(row)
        self._next_seq += 1
        self.verdicts[message.position.message_id] = verdict

    def open_segment(self, segment: Segment) -> None:
        """Remembers what the id of a segment's anonymous person stands for."""
        person_id = person_ids.of_segment(self._workspace.name, segment.name, segment.start)
        self._persons.append((person_id, None, segment.device, *segment.start))

    def new_user(self, user: User) -> None:
        """Remembers what the id of a user's person stands for."""
        person_id = person_ids.of_user(self._workspace.name, user.name)
        self._persons.append((person_id, user.id, None, None, None))

    def flush(self) -> None:
        """Writes what was collected."""
        ledger.insert(self._connection, self._messages)
        self._messages.clear()
        _INSERT_PERSON.run(self._connection, self._persons)
        self._persons.clear()
