"""A group of messages goes into the ledger, and what is derived from it is brought up to date.

All of it happens in one transaction and in a handful of statements, whatever the size of the
group: beside a busy event loop each statement is a fight for the interpreter's lock.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from operator import attrgetter

from sameas_service.domain import warnings
from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Outcome, Receipt
from sameas_service.store.sqlite import ledger
from sameas_service.store.sqlite.changes import ChangeLog
from sameas_service.store.sqlite.holders import persons_of_messages
from sameas_service.store.sqlite.opening import Opening, device_names, look, user_names
from sameas_service.store.sqlite.profiling import Profiling
from sameas_service.store.sqlite.rows import Rows
from sameas_service.store.sqlite.subject import Subject, Verdict, Workspace, person_id
from sameas_service.store.sqlite.timelines import Timelines
from sameas_service.store.sqlite.unlinking import Unlinking
from sameas_service.store.sqlite.users import Users


def append(
    connection: sqlite3.Connection, workspace: Workspace, messages: Sequence[Message]
) -> list[Receipt | Refused]:
    """Takes messages, inside a transaction of the caller's; one answer each, in their order.

    May be run again after a rollback: it keeps nothing outside the database.
    """
    found = look(connection, workspace.id, messages)
    fresh, repeats = _sort_out(messages, found.known_ids)
    receipts = _Group(connection, workspace, found).append(list(fresh.values())) if fresh else []
    answers: dict[int, Receipt | Refused] = dict(zip(fresh, receipts, strict=True))
    answers |= _repeated(connection, workspace, repeats)
    return [answers[index] for index in range(len(messages))]


def _sort_out(
    messages: Sequence[Message], known: set[str]
) -> tuple[dict[int, Message], dict[int, Message]]:
    """Messages with new ids, and those whose id was used before, here or in the ledger; by
    their index.
    """
    if not known and len({m.position.message_id for m in messages}) == len(messages):
        return dict(enumerate(messages)), {}
    fresh: dict[int, Message] = {}
    repeats: dict[int, Message] = {}
    for index, message in enumerate(messages):
        (repeats if message.message_id in known else fresh)[index] = message
        known.add(message.message_id)
    return fresh, repeats


class _Group:
    """New messages of one workspace, on their way into the ledger."""

    def __init__(
        self, connection: sqlite3.Connection, workspace: Workspace, found: Opening
    ) -> None:
        parts = (connection, workspace)
        self._found = found
        self._connection = connection
        self._workspace = workspace
        self._persons: dict[Subject, str] = {}
        self._users = Users(connection, workspace.id, workspace.name)
        self._changes = ChangeLog(*parts, self._users)
        self._rows = Rows(*parts, self._users, self._changes, found.next_seq)
        self._timelines = Timelines(*parts, self._users, self._rows, self._changes)
        self._unlinking = Unlinking(*parts, self._users, self._rows, self._timelines, self._changes)

    def append(self, fresh: Sequence[Message]) -> list[Receipt]:
        """Takes the messages; one receipt each."""
        self._load(fresh)
        relinked = self._take(sorted(fresh, key=attrgetter("position")))
        self._warn_of_aliases([m for m in fresh if m.kind is Kind.ALIAS])
        verdicts = self._rows.verdicts
        profiling = Profiling(self._connection, self._workspace, self._users)
        timelines = self._timelines
        profiling.settle(verdicts.values(), timelines.touched, timelines.gained, relinked)
        self._changes.flush()
        moved = self._moved(fresh)
        return [self._receipt(verdicts[m.position.message_id], moved) for m in fresh]

    def _load(self, fresh: Sequence[Message]) -> None:
        found = self._found
        self._unlinking.load(found.unlinks)
        self._users.load(found.users, user_names(fresh), found.next_user)
        self._timelines.load(found.devices, device_names(fresh), found.next_device)
        for user in self._users.made:
            self._rows.new_user(user)

    def _take(self, ordered: Sequence[Message]) -> set[int]:
        """Takes messages in order, unlinks last: those strike what came with them.

        Returns:
            The users who are or were canonical of persons that links or unlinks changed.
        """
        placed, relinked = [], set[int]()
        none_struck = not self._unlinking.any
        for message in ordered:
            if message.kind is Kind.UNLINK:
                continue
            if message.source is not None:
                relinked |= self._link(self._unlinking.dated(message))
            elif message.device is not None and (
                none_struck or not self._unlinking.is_struck(message)
            ):
                placed.append(message)
            else:
                self._take_plain(message)
        self._timelines.take(placed)
        self._users.flush()
        self._timelines.save()
        unlinks = [message for message in ordered if message.kind is Kind.UNLINK]
        for message in unlinks:
            self._unlinking.take(message)
        if unlinks:
            self._rows.flush()
            self._timelines.save()
        return relinked | self._unlinking.relinked

    def _take_plain(self, message: Message) -> None:
        """Takes a message that has no place on a device's timeline."""
        user = self._users.id_of(message.user)
        assert user is not None, "a message names a device or a user"
        verdict = Verdict(message, user)
        if not self._users.by_id[user].named:
            verdict.outcome = Outcome.CREATED
        self._rows.keep(verdict, self._timelines.device_id(message.device), user)

    def _link(self, message: Message) -> set[int]:
        """Takes a link; gives the users who are or were canonical of what it changed."""
        source, target = self._users.id_of(message.source), self._users.id_of(message.user)
        assert source is not None, "a link has a source"
        assert target is not None, "a link has a target"
        verdict = Verdict(message, target)
        if self._unlinking.is_struck(message):
            self._rows.keep_apart(verdict, source, target)
            return set()
        members = self._users.members(source, target)
        before = self._users.person_ids(members)
        self._users.link(message.position, source, target)
        changed = self._users.refold(members)
        self._changes.relinked(message.message_id, before, ChangeKind.JOINED)
        if changed:
            verdict.outcome = Outcome.LINKED
            verdict.absorbed = tuple(self._users.absorbed(changed))
        self._rows.keep(verdict, None, target, source)
        if not self._users.by_id[source].named:
            self._users.set_named(source, named=True)
            self._changes.user(message.message_id, source)
        return changed

    def _warn_of_aliases(self, aliases: Sequence[Message]) -> None:
        """Warns of a user's second alias from another source."""
        wanted = [(m, source) for m in aliases if (source := m.device or m.source)]
        if not wanted:
            return
        firsts = ledger.first_aliases(
            self._connection,
            [(m.message_id, self._users.id_of(m.user) or 0, source) for m, source in wanted],
        )
        for (message, source), first in zip(wanted, firsts, strict=True):
            if first is not None and message.user is not None:
                warning = warnings.alias_repeated(message.user, source, first)
                self._rows.verdicts[message.message_id].warnings += (warning,)

    def _moved(self, fresh: Sequence[Message]) -> dict[str, str]:
        """The person ids of messages that name no user and may not have stayed with whom they
        were given to at their turn, since a later one of the group cut their device anew; by
        message id. A receipt tells what is true once the group is on disk.
        """
        recut = self._timelines.recut
        ids = [m.message_id for m in fresh if m.user is None and m.device in recut] if recut else []
        return persons_of_messages(self._connection, self._workspace, ids) if ids else {}

    def _receipt(self, verdict: Verdict, moved: Mapping[str, str]) -> Receipt:
        message, subject = verdict.message, verdict.subject
        person = moved.get(message.position.message_id) or self._persons.get(subject)
        if person is None:
            person = person_id(subject, self._workspace, self._users)
            self._persons[subject] = person
        return Receipt(
            message.position.message_id,
            verdict.outcome,
            person,
            verdict.absorbed,
            False,  # noqa: FBT003  (by position, since this runs for each message)
            message.warnings + verdict.warnings,
        )


def _repeated(
    connection: sqlite3.Connection, workspace: Workspace, repeats: dict[int, Message]
) -> dict[int, Receipt | Refused]:
    """Answers to messages whose ids were used before, by index."""
    if not repeats:
        return {}
    ids = {message.message_id for message in repeats.values()}
    first = {
        kept.message_id: (kept, outcome)
        for kept, outcome in ledger.by_id(connection, workspace.id, ids)
    }
    persons = persons_of_messages(connection, workspace, ids)
    return {
        index: _repeat(message, *first[message.message_id], persons)
        for index, message in repeats.items()
    }


def _repeat(
    message: Message, kept: Message, outcome: Outcome, persons: dict[str, str]
) -> Receipt | Refused:
    if message.same_content(kept):
        person = persons[message.message_id]
        return Receipt(message.message_id, outcome, person, duplicate=True)
    return Refused(
        Reason.MESSAGE_ID_REUSED,
        "message_id was used before with other content; make a new id for each call",
        field="message_id",
        metadata={"message_id": message.message_id},
    )
