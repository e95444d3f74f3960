"""New rows of the ledger, and of the person ids that its messages hand out."""

import sqlite3
from typing import Any

from sameas_service.domain import person_ids
from sameas_service.store.sqlite import ledger
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
        self, connection: sqlite3.Connection, workspace: Workspace, users: Users, next_seq: int
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._users = users
        self._next_seq = next_seq
        self._messages: list[tuple[Any, ...]] = []
        self._persons: list[tuple[Any, ...]] = []
        self.verdicts: dict[str, Verdict] = {}

    def keep(
        self, verdict: Verdict, device: int | None, user: int | None, source: int | None = None
    ) -> None:
        """Puts a message into the ledger, with the surrogates of what it names."""
        message = verdict.message
        self._messages.append(
            ledger.row_of(
                self._next_seq, self._workspace.id, message, device, user, source, verdict.outcome
            )
        )
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
