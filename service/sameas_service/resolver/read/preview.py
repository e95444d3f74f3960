"""What a message changes: it is taken, and what there is before and after is compared.

A preview takes it in a transaction that is not kept, so it cannot differ from what then
happens. It looks at the one device and the users that the message names, and counts, but never
reads, what moves.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.errors import Refused
from sameas_service.domain.message import START, Message, Position
from sameas_service.domain.payload import Json
from sameas_service.domain.preview import Moved, Preview, TraitChange
from sameas_service.resolver import profile_codec
from sameas_service.resolver.facts import FOREVER, Names, PersonKey, Source, Workspace, person_id_of
from sameas_service.resolver.ports import WriteTransaction
from sameas_service.resolver.write.group import Group

Held = tuple[Position, str]
"""Where a stretch of the device starts, and the person that holds it."""


class _User(NamedTuple):
    """A user's person, and how many messages name the user and are owned by it elsewhere than
    on the message's own device.
    """

    person_id: str
    named: int = 0
    owned: int = 0


@dataclass
class _Picture:
    """What there is around a message: its device, who holds what of it, its users' persons with
    counts of messages, and the traits of all of them.
    """

    device: int | None
    held: list[Held]
    users: dict[int, _User]
    traits: dict[str, dict[str, Json]]


def report(
    transaction: WriteTransaction, workspace: Workspace, message: Message
) -> Preview | Refused:
    """Take a message. Return what it changed."""
    camera = _Camera(transaction, workspace, message)
    before = camera.picture()
    group = Group(transaction, workspace, [message])
    (answer,) = group.append()
    if isinstance(answer, Refused):
        return answer
    after = camera.picture()
    return Preview(
        answer,
        [change for _, change in group.unit.changes],
        camera.moved(before, after),
        _trait_changes(before, after),
    )


class _Camera:
    """Looks at the device and the users that one message names."""

    def __init__(
        self, transaction: WriteTransaction, workspace: Workspace, message: Message
    ) -> None:
        self._transaction = transaction
        self._workspace = workspace
        self._message = message
        self._user_ids = [name for name in (message.user, message.source) if name]

    def picture(self) -> _Picture:
        """Return what there is now."""
        device = self._device()
        users = self._users(device)
        held = [] if device is None else self._held(device)
        persons = {user.person_id for user in users.values()} | {person for _, person in held}
        texts = self._transaction.profiles(self._workspace, list(persons))
        traits = {person: profile_codec.values(texts.get(person, "{}")) for person in persons}
        return _Picture(device, held, users, traits)

    def _users(self, device: int | None) -> dict[int, _User]:
        """Return all users of the persons that the message names, by surrogate."""
        keys = [PersonKey("user", name) for name in self._user_ids]
        persons = {one for one in self._transaction.resolve(self._workspace, keys) if one}
        users: dict[int, _User] = {}
        for person, sources in self._transaction.sources(self._workspace, list(persons)).items():
            counts = self._transaction.counts(self._workspace, sources, self._message.message_id)
            person_id = person_id_of(person, self._workspace)
            for (user, on, *_), count in zip(sources, counts, strict=True):
                assert user is not None, "a person with user ids owns all its spans"
                known = users.get(user, _User(person_id))
                if on is None:
                    users[user] = known._replace(named=count)
                elif on != device:
                    users[user] = known._replace(owned=known.owned + count)
        return users

    def moved(self, before: _Picture, after: _Picture) -> list[Moved]:
        """Return how many messages have another person, by the two persons."""
        counts: Counter[tuple[str, str]] = Counter()
        for user, old in before.users.items():
            new = after.users.get(user, _User(""))
            counts[old.person_id, ""] += old.named - new.named
            counts[old.person_id, new.person_id] += new.named + old.owned
        counts += self._moved_on_device(after.device, before.held, after.held)
        return [
            Moved(former, person, count)
            for (former, person), count in sorted(counts.items())
            if former != person and count
        ]

    def _moved_on_device(
        self, device: int | None, before: list[Held], after: list[Held]
    ) -> Counter[tuple[str, str]]:
        counts: Counter[tuple[str, str]] = Counter()
        if device is None:
            return counts
        edges = sorted({start for start, _ in before} | {start for start, _ in after})
        changed = [
            ((start, end), pair)
            for start, end in zip(edges, [*edges[1:], FOREVER], strict=True)
            if (pair := (_at(before, start), _at(after, start)))[0] != pair[1]
        ]
        sources = [Source(None, device, *stretch) for stretch, _ in changed]
        found = self._transaction.counts(self._workspace, sources, self._message.message_id)
        for (_, pair), count in zip(changed, found, strict=True):
            counts[pair] += count
        return counts

    def _device(self) -> int | None:
        name = self._message.device
        if name is None:
            return None
        opening = self._transaction.open(self._workspace, Names([], [], [name], []))
        return opening.devices[0].id if opening.devices else None

    def _held(self, device: int) -> list[Held]:
        spans = self._transaction.spans_of(self._workspace, device)
        persons = self._persons({span.owner for span in spans if span.owner is not None})
        held = [
            (
                span.start,
                self._anonymous(span.start) if span.owner is None else persons[span.owner],
            )
            for span in spans
        ]
        is_unclaimed = not spans or spans[0].start != START
        return [(START, self._anonymous(START)), *held] if is_unclaimed else held

    def _persons(self, users: Iterable[int]) -> dict[int, str]:
        """Return the person ids of users, by surrogate."""
        known = self._transaction.users(self._workspace, list(users))
        canonical = [user.canonical for user in known]
        names = {user.id: user.name for user in self._transaction.users(self._workspace, canonical)}
        return {user.id: self._of_user(names[user.canonical]) for user in known}

    def _of_user(self, canonical: str) -> str:
        return person_ids.of_user(self._workspace.name, canonical)

    def _anonymous(self, start: Position) -> str:
        assert self._message.device is not None, "only a device has segments"
        return person_ids.of_segment(self._workspace.name, self._message.device, start)


def _at(held: Sequence[Held], position: Position) -> str:
    """Return who holds a position; empty where the device is not known yet."""
    found = ""
    for start, person in held:
        if start <= position:
            found = person
    return found


def _trait_changes(before: _Picture, after: _Picture) -> list[TraitChange]:
    found = []
    for person in sorted(before.traits.keys() | after.traits.keys()):
        old, new = before.traits.get(person, {}), after.traits.get(person, {})
        for trait in sorted(old.keys() | new.keys()):
            former = (old[trait],) if trait in old else ()
            value = (new[trait],) if trait in new else ()
            if former != value or repr(former) != repr(value):
                found.append(TraitChange(person, trait, former, value))
    return found
