"""A store with a history in it, used through the port."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sameas_service.domain import person_ids
from sameas_service.domain.changes import LoggedChange
from sameas_service.domain.derive import Rules
from sameas_service.domain.errors import Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, after
from sameas_service.domain.preview import Preview
from sameas_service.domain.receipt import Receipt
from sameas_service.resolver.facts import PersonKey
from sameas_service.resolver.ports import Store
from sameas_service.resolver.read import history, persons, preview, timeline
from sameas_service.resolver.read.persons import PersonView
from sameas_service.resolver.read.timeline import Page, PageQuery
from sameas_service.resolver.write.group import append
from sameas_service.store.sqlite.store import SqliteStore
from support.dumps import dump
from support.stores import Place, sqlite

EVERYTHING = 10**9
_numbers = itertools.count()


class Stored:
    """One workspace of a store, as the use cases use it.

    Attributes:
        store: the store.
        workspace: the workspace.
    """

    def __init__(self, store: Store, rules: Rules) -> None:
        self.store = store
        self.workspace = store.workspace(rules.workspace, rules.session_gap)

    def append(self, messages: Sequence[Message]) -> list[Receipt | Refused]:
        """Keep messages in one transaction."""
        return self.store.write(partial(append, workspace=self.workspace, messages=messages))

    def report(self, message: Message, *, keep: bool) -> Preview | Refused:
        """What a message changes, kept or not."""
        work = partial(preview.report, workspace=self.workspace, message=message)
        return self.store.write(work, keep=keep)

    def dump(self) -> dict[str, Any]:
        """Everybody."""
        return dump(self.store, self.workspace)

    def changes(self, cursor: int = 0, limit: int = EVERYTHING) -> list[LoggedChange]:
        """The log of changes after a cursor."""
        return self.store.read(lambda tx: tx.changes(self.workspace, cursor, limit))

    def persons(
        self, keys: Sequence[PersonKey], as_of: int | None = None
    ) -> list[PersonView | None]:
        """The person of each key, now or as of a time."""
        if as_of is None:
            return self.store.read(lambda tx: persons.persons(tx, self.workspace, keys))
        return self.store.scan(lambda tx: history.persons(tx, self.workspace, keys, as_of))

    def page(self, query: PageQuery, as_of: int | None = None) -> Page | None:
        """A page of a timeline, now or as of a time."""
        if as_of is None:
            return self.store.read(lambda tx: timeline.page(tx, self.workspace, query))
        return self.store.scan(lambda tx: history.page(tx, self.workspace, query, as_of))

    def explanation(self, first: PersonKey, second: PersonKey, as_of: int | None = None) -> Any:
        """Why two keys are one person, or why not."""
        keys = (first, second)
        return self.store.scan(lambda tx: history.explanation(tx, self.workspace, keys, as_of))

    def messages(self) -> list[Message]:
        """All messages, in the order of the ledger."""
        rows = self.store.scan(lambda reader: reader.messages_after(self.workspace, 0, EVERYTHING))
        return [message for _, message in rows]

    def person_ids(self) -> set[str]:
        """Every person id that was ever handed out, by rule: nothing lists them."""
        name = self.workspace.name
        ids = set()
        for message in self.messages():
            if message.user is not None:
                ids.add(person_ids.of_user(name, message.user))
            if message.source is not None:
                ids.add(person_ids.of_user(name, message.source))
            if message.device is not None and message.kind is not Kind.UNLINK:
                ids.add(person_ids.of_segment(name, message.device, START))
            if message.device is not None and message.kind is Kind.RESET:
                ids.add(person_ids.of_segment(name, message.device, after(message.position)))
        return ids

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def opened(directory: Path, rules: Rules) -> Stored:
    """A workspace of a data directory; to be closed."""
    return Stored(SqliteStore(directory), rules)


@contextmanager
def stored(batches: list[list[Message]], rules: Rules) -> Iterator[Stored]:
    """A workspace that got the batches, in a store of its own."""
    with sqlite() as place:
        yield filled_with(place, batches, rules)


def filled_with(place: Place, batches: list[list[Message]], rules: Rules) -> Stored:
    """A workspace of a store that got the batches."""
    held = Stored(place.store, rules)
    for batch in batches:
        held.append(batch)
    return held


def fresh_workspace(rules: Rules) -> Rules:
    """The same rules for a workspace that no test had before."""
    return rules._replace(workspace=f"{rules.workspace}-{next(_numbers)}")
