"""Keeps the cached profiles up to date with a group of messages."""

import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from sameas_service.domain import profile, warnings
from sameas_service.domain.limits import TRAITS_MANY
from sameas_service.domain.message import Position
from sameas_service.domain.operations import Operation, operations_of
from sameas_service.domain.profile import MISSING, Folded, Trait
from sameas_service.store.sqlite import devices, profiles
from sameas_service.store.sqlite.subject import (
    Gain,
    Segment,
    Subject,
    Verdict,
    Workspace,
    person_id,
)
from sameas_service.store.sqlite.users import Users


class Said(NamedTuple):
    """What one message says of whose traits; with its verdict, where it is of this group."""

    position: Position
    subject: Subject
    named: bool
    operations: Sequence[Operation]
    verdict: Verdict | None


class Profiling:
    """The profiles of the persons that a group speaks of, or whose messages moved.

    An operation that arrives in order, or late where that cannot matter, is absorbed by the
    cached profile. Where it matters, and where spans or links changed, the person's
    operations are folded afresh, and nobody else's.
    """

    def __init__(self, connection: sqlite3.Connection, workspace: Workspace, users: Users) -> None:
        self._connection = connection
        self._workspace = workspace
        self._users = users
        self._stale: set[Subject] = set()
        self._gone: set[str] = set()

    def settle(
        self,
        verdicts: Iterable[Verdict],
        touched: set[Subject],
        gained: Sequence[Gain],
        relinked: set[int],
    ) -> None:
        """Brings profiles up to date, and adds what was skipped to the verdicts' warnings.

        Args:
            verdicts: what the group's messages did.
            touched: users and segments that won or lost messages that speak of traits.
            gained: segments that won an owner.
            relinked: users who are or were canonical of persons that links changed.
        """
        speaking = [verdict for verdict in verdicts if verdict.message.has_operations]
        if not (speaking or touched or gained or relinked):
            return
        self._mark(touched, relinked)
        self._absorb(speaking, gained)
        self._refold(speaking)
        profiles.delete(self._connection, self._gone)

    def _mark(self, touched: set[Subject], relinked: set[int]) -> None:
        segments = [one for one in touched if isinstance(one, Segment)]
        rows = devices.neighbours(self._connection, [(s.device, s.start) for s in segments])
        for segment, row in zip(segments, rows, strict=True):
            if row.at.owner is None and row.at.start == segment.start:
                self._stale.add(segment)
            else:
                self._gone.add(person_id(segment, self._workspace, self._users))
        for user in {one for one in touched if isinstance(one, int)} | relinked:
            canonical = self._users.by_id[user].canonical
            self._stale.add(canonical)
            if canonical != user:
                self._gone.add(self._users.former_person_id(user))

    def _absorb(self, speaking: list[Verdict], gained: Sequence[Gain]) -> None:
        """Applies operations to the cached profiles; marks as stale where that cannot do."""
        # One that an unlink of the same group gave back was marked, and is folded afresh.
        gained = [gain for gain in gained if gain.segment not in self._stale]
        passed = self._stale | {gain.segment for gain in gained}
        said = [_said(v, s) for v in speaking if (s := self._subject(v)) not in passed]
        said += self._gains(speaking, gained)
        ids = {s: person_id(s, self._workspace, self._users) for s in {o.subject for o in said}}
        known = profiles.load(self._connection, ids.values())
        for one in sorted(said, key=attrgetter("position")):
            traits = known.setdefault(ids[one.subject], {})
            if one.subject not in self._stale and not _absorb_all(one, traits):
                self._stale.add(one.subject)
        stale = {ids[subject] for subject in ids if subject in self._stale}
        profiles.save(self._connection, {id_: t for id_, t in known.items() if id_ not in stale})

    def _gains(self, speaking: list[Verdict], gained: Sequence[Gain]) -> list[Said]:
        """What was said in segments before they won an owner, as said of that owner now."""
        by_position = {verdict.message.position: verdict for verdict in speaking}
        said = []
        for user, segment, claim in gained:
            self._gone.add(person_id(segment, self._workspace, self._users))
            subject = self._users.by_id[user].canonical
            if subject in self._stale:
                continue
            where = (segment.device, segment.start, claim)
            for entry in profiles.entries_of_segment(self._connection, *where):
                verdict = by_position.get(entry.position)
                # One that came late, behind the claim of its own group, speaks for itself.
                if verdict is None or verdict.subject == segment:
                    operations = entry.operations
                    said.append(Said(entry.position, subject, entry.named, operations, verdict))
        return said

    def _subject(self, verdict: Verdict) -> Subject:
        if isinstance(verdict.subject, Segment):
            return verdict.subject
        return self._users.by_id[verdict.subject].canonical

    def _refold(self, speaking: list[Verdict]) -> None:
        by_position = {verdict.message.position: verdict for verdict in speaking}
        folded = {}
        for subject in self._stale:
            result = self._fold(subject)
            folded[person_id(subject, self._workspace, self._users)] = result.traits
            for position, operation in result.skipped:
                if position in by_position:
                    _skip(by_position[position], operation)
        profiles.save(self._connection, folded)

    def _fold(self, subject: Subject) -> Folded:
        if isinstance(subject, Segment):
            segment = (subject.device, subject.start)
            return profile.fold(profiles.entries_of_segment(self._connection, *segment))
        return profile.fold(profiles.entries_of_user(self._connection, subject))


def _said(verdict: Verdict, subject: Subject) -> Said:
    message = verdict.message
    named = message.user is not None
    return Said(message.position, subject, named, operations_of(message), verdict)


def _absorb_all(said: Said, traits: dict[str, Trait]) -> bool:
    """Applies a message's operations to a profile; False where only a fold can tell."""
    for operation in said.operations:
        absorbed = profile.absorb(
            traits.get(operation.trait), said.position, operation, named=said.named
        )
        if absorbed is None:
            return False
        trait, fits = absorbed
        if trait is not None:
            traits[operation.trait] = trait
        if not fits and said.verdict is not None:
            _skip(said.verdict, operation)
    if said.verdict is not None and len(traits) > TRAITS_MANY:
        _count(said.verdict, traits)
    return True


def _skip(verdict: Verdict, operation: Operation) -> None:
    warning = warnings.operation_skipped(operation.action, operation.trait)
    if warning not in verdict.warnings:
        verdict.warnings += (warning,)


def _count(verdict: Verdict, traits: dict[str, Trait]) -> None:
    count = sum(trait.value is not MISSING for trait in traits.values())
    if count > TRAITS_MANY:
        verdict.warnings += (warnings.traits_many(count),)
