"""New rows of the ledger, and of the person ids that its messages hand out."""

import sqlite3
from typing import Any

from sameas_service.domain import person_ids
from sameas_service.store.sqlite import ledger
from sameas_service.store.sqlite.changes import ChangeLog
from sameas_service.store.sqlite.connection import Insert
from sameas_service.store.sqlite.ledger import Kept
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
        self._kept: list[Kept] = []
        self._persons: list[tuple[Any, ...]] = []
        self.verdicts: dict[str, Verdict] = {}

    def keep(
        self, verdict: Verdict, device: int | None, user: int | None, source: int | None = None
    ) -> None:
        """Puts a message into the ledger, with the surrogates of what it names."""
        if user is not None and not self._users.by_id[user].named:
            self._users.set_named(user, named=True)
            self._changes.user(verdict.message.message_id, user)
        self._kept.append((verdict, device, user, source, None))
        self.verdicts[verdict.message.position.message_id] = verdict

    def keep_apart(self, verdict: Verdict, source: int | None, struck: int | None) -> None:
        """Puts a message into the ledger that stands on nobody's timeline: an unlink, or a
        struck link, with the user that it names without counting.
        """
        self._kept.append((verdict, None, None, source, struck))
        self.verdicts[verdict.message.position.message_id] = verdict

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
        ledger.insert(self._connection, self._next_seq, self._workspace.id, self._kept)
        self._next_seq += len(self._kept)
        self._kept.clear()
        _INSERT_PERSON.run(self._connection, self._persons)
        self._persons.clear()
