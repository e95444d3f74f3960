"""Users and links: which user ids there are, and which of them are one person."""

from collections.abc import Iterable

from sameas_service.domain import person_ids
from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Outcome
from sameas_service.resolver.facts import (
    AnonymousSegment,
    Holder,
    LinkRow,
    PersonRow,
    User,
)
from sameas_service.resolver.write import change_log
from sameas_service.resolver.write.unit_of_work import UnitOfWork, Verdict


class Users:
    """The users that a group of messages is about, by user id and by surrogate."""

    def __init__(self, unit: UnitOfWork, known: Iterable[User]) -> None:
        """Begin with the users that the store found."""
        self._unit = unit
        self._workspace = unit.workspace.name
        self.by_name: dict[str, User] = {}
        self.by_id: dict[int, User] = {}
        self._add(known)

    def make(self, names: Iterable[str], ids: dict[str, int]) -> None:
        """Make new users, with these surrogates."""
        for name in names:
            user = User(ids[name], name, ids[name], named=False)
            self.by_id[user.id] = self.by_name[name] = user
            self._unit.rows.users[user.id] = user
            person_id = person_ids.of_user(self._workspace, name)
            self._unit.rows.persons.append(PersonRow(person_id, user.id, None, None))

    def need(self, ids: Iterable[int]) -> None:
        """Read users by surrogate, with their canonical ones, where they are not known."""
        unknown = {user for user in ids if user not in self.by_id}
        while unknown:
            self._add(self._unit.ask.users(self._unit.workspace, list(unknown)))
            unknown = {self.by_id[user].canonical for user in unknown} - self.by_id.keys()

    def id_of(self, name: str | None) -> int | None:
        """Return a user's surrogate."""
        return None if name is None else self.by_name[name].id

    def named(self, name: str | None) -> User:
        """Return the user of a message that must name one."""
        assert name is not None, "the message's kind needs a user"
        return self.by_name[name]

    def keep(
        self, verdict: Verdict, device: int | None, user: int, source: int | None = None
    ) -> None:
        """Keep a message that names a user, and note where it is the first to do so."""
        self.note_named(verdict.message, user)
        self._unit.keep(verdict, device, user, source)

    def note_named(self, message: Message, user: int) -> None:
        """Note that a message in force names the user."""
        found = self.by_id[user]
        if not found.named:
            found.named = True
            self._unit.rows.users[user] = found
            change_log.user_created(self._unit, message.message_id, self, user)

    def note_unnamed(self, message: Message, user: int, former: str) -> None:
        """Note that no message in force names the user any more."""
        found = self.by_id[user]
        found.named = False
        self._unit.rows.users[user] = found
        change_log.user_gone(self._unit, message.message_id, found.name, former)

    def person_id(self, user: int) -> str:
        """Return the id of the user's person."""
        canonical = self.by_id[self.by_id[user].canonical]
        return person_ids.of_user(self._workspace, canonical.name)

    def own_person_id(self, user: int) -> str:
        """Return the id that the user's person has while the user itself is canonical."""
        return person_ids.of_user(self._workspace, self.by_id[user].name)

    def person_id_of(self, holder: Holder) -> str:
        """Return the id of the person that holds a message."""
        if isinstance(holder, AnonymousSegment):
            return person_ids.of_segment(self._workspace, holder.name, holder.start)
        return self.person_id(holder)

    def person_ids(self, users: Iterable[User]) -> dict[int, str]:
        """Return the ids of users' persons as they are now, by surrogate."""
        return {user.id: self.person_id(user.id) for user in users}

    def members(self, *of: int) -> list[User]:
        """Return all users of these users' persons."""
        canonical = {self.by_id[user].canonical for user in of}
        self._add(self._unit.ask.members(self._unit.workspace, list(canonical)))
        return [user for user in self.by_id.values() if user.canonical in canonical]

    def link(self, message: Message) -> set[int]:
        """Take a link in force. Return who is or was canonical of the persons it changed."""
        source, target = self.named(message.source), self.named(message.user)
        members = self.members(source.id, target.id)
        before = self.person_ids(members)
        self._unit.rows.links[LinkRow(message.position, source.id, target.id)] = True
        changed = self.refold(members)
        change_log.relinked(self._unit, message.message_id, self, before, ChangeKind.JOINED)
        verdict = Verdict(message, target.id)
        if changed:
            verdict.outcome = Outcome.LINKED
            verdict.absorbed = tuple(self._absorbed(changed))
        self.keep(verdict, None, target.id, source.id)
        self.note_named(message, source.id)
        return changed

    def refold(self, members: list[User]) -> set[int]:
        """Fold the links among the members of persons again.

        Returns:
            The canonical users, before and now, of the persons that it changed.
        """
        ids = [user.id for user in members]
        folded = canonical_users(
            Link(row.position, str(row.source), str(row.target))
            for row in self._unit.ask.links_among(self._unit.workspace, ids)
        )
        changed = set()
        for user in members:
            now = int(folded.get(str(user.id), user.id))
            if now != user.canonical:
                changed |= {user.canonical, now}
                user.canonical = now
                self._unit.rows.users[user.id] = user
        return changed

    def _absorbed(self, relinked: Iterable[int]) -> list[str]:
        """Return the person ids of users no longer canonical, where any message named them."""
        gone = [self.by_id[user] for user in sorted(relinked)]
        return [
            self.own_person_id(user.id) for user in gone if user.canonical != user.id and user.named
        ]

    def _add(self, users: Iterable[User]) -> None:
        for user in users:
            if user.id not in self.by_id:
                self.by_id[user.id] = self.by_name[user.name] = user
