"""Keeps the stored profiles up to date with a group of messages.

An operation that arrives in order, or late where that cannot matter, is absorbed by the stored
profile. Where it matters, and where spans or links changed, the person's operations are folded
afresh, and no other person's.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from sameas_service.domain import profile, warnings
from sameas_service.domain.kinds import Kind
from sameas_service.domain.limits import TRAITS_MANY
from sameas_service.domain.message import Position
from sameas_service.domain.operations import Operation, operations_of, parse_operations
from sameas_service.domain.profile import MISSING, Entry, Folded, Trait
from sameas_service.resolver import profile_codec
from sameas_service.resolver.facts import (
    AnonymousSegment,
    CanonicalUser,
    Holder,
    Operations,
    PersonRef,
    Source,
)
from sameas_service.resolver.write.late import Gain
from sameas_service.resolver.write.unit_of_work import UnitOfWork, Verdict
from sameas_service.resolver.write.users import Users


class Said(NamedTuple):
    """What one message says of a holder's traits; with its verdict, where it is of this group."""

    position: Position
    holder: Holder
    named: bool
    operations: Sequence[Operation]
    verdict: Verdict | None


class Profiles:
    """The profiles of the persons that a group speaks of, or moved messages of."""

    def __init__(self, unit: UnitOfWork, users: Users) -> None:
        self._unit = unit
        self._workspace = unit.workspace
        self._users = users
        self._stale: set[Holder] = set()
        self._gone: set[str] = set()

    def settle(
        self,
        speaking: list[Verdict],
        touched: set[Holder],
        gained: Sequence[Gain],
        relinked: set[int],
    ) -> None:
        """Bring profiles up to date, and warn in the verdicts of what was skipped.

        Args:
            speaking: what the group's messages did that speak of traits.
            touched: users and segments that won or lost messages that speak of traits.
            gained: segments that won an owner.
            relinked: users who are or were canonical of persons that links changed.
        """
        self._mark(touched, relinked)
        self._absorb(speaking, gained)
        self._refold(speaking)
        self._unit.rows.profiles.update(dict.fromkeys(self._gone))

    def _mark(self, touched: set[Holder], relinked: set[int]) -> None:
        segments = [one for one in touched if isinstance(one, AnonymousSegment)]
        if segments:
            places = [(segment.device, segment.start) for segment in segments]
            found = self._unit.ask.neighbours(self._workspace, places)
            for segment, spans in zip(segments, found, strict=True):
                if spans.at.owner is None and spans.at.start == segment.start:
                    self._stale.add(segment)
                else:
                    self._gone.add(self._users.person_id_of(segment))
        for user in {one for one in touched if isinstance(one, int)} | relinked:
            canonical = self._users.by_id[user].canonical
            self._stale.add(canonical)
            if canonical != user:
                self._gone.add(self._users.own_person_id(user))

    def _absorb(self, speaking: list[Verdict], gained: Sequence[Gain]) -> None:
        """Apply operations to the stored profiles; mark as stale where that cannot do."""
        # One that an unlink of the same group gave back was marked, and is folded afresh.
        gained = [gain for gain in gained if gain.segment not in self._stale]
        passed = self._stale | {gain.segment for gain in gained}
        said = [_said(v, h) for v in speaking if (h := self._holder(v)) not in passed]
        said += self._gains(speaking, gained)
        ids = {holder: self._users.person_id_of(holder) for holder in {o.holder for o in said}}
        known = self._stored(list(ids.values()))
        for one in sorted(said, key=attrgetter("position")):
            traits = known.setdefault(ids[one.holder], {})
            if one.holder not in self._stale and not _absorb_all(one, traits):
                self._stale.add(one.holder)
        stale = {ids[holder] for holder in ids if holder in self._stale}
        self._put({person_id: t for person_id, t in known.items() if person_id not in stale})

    def _stored(self, person_ids: list[str]) -> dict[str, dict[str, Trait]]:
        if not person_ids:
            return {}
        texts = self._unit.ask.profiles(self._workspace, person_ids)
        return {person_id: profile_codec.decode(text) for person_id, text in texts.items()}

    def _put(self, profiles: dict[str, dict[str, Trait]]) -> None:
        for person_id, traits in profiles.items():
            text = profile_codec.encode(traits) if traits else None
            self._unit.rows.profiles[person_id] = text

    def _gains(self, speaking: list[Verdict], gained: Sequence[Gain]) -> list[Said]:
        """Return what was said in segments before they won an owner, as said of that owner."""
        by_position = {verdict.message.position: verdict for verdict in speaking}
        said = []
        for user, segment, claim in gained:
            self._gone.add(self._users.person_id_of(segment))
            holder = self._users.by_id[user].canonical
            if holder in self._stale:
                continue
            until = Source(None, segment.device, segment.start, claim)
            for entry in self._entries([until]):
                verdict = by_position.get(entry.position)
                # One that came late, after the claim of its own group, speaks for itself.
                if verdict is None or verdict.holder == segment:
                    operations = entry.operations
                    said.append(Said(entry.position, holder, entry.named, operations, verdict))
        return said

    def _holder(self, verdict: Verdict) -> Holder:
        if isinstance(verdict.holder, AnonymousSegment):
            return verdict.holder
        return self._users.by_id[verdict.holder].canonical

    def _refold(self, speaking: list[Verdict]) -> None:
        by_position = {verdict.message.position: verdict for verdict in speaking}
        folded = {}
        for holder in self._stale:
            result = self._fold(holder)
            folded[self._users.person_id_of(holder)] = result.traits
            for position, operation in result.skipped:
                if position in by_position:
                    _warn_of_skipped(by_position[position], operation)
        self._put(folded)

    def _fold(self, holder: Holder) -> Folded:
        person: PersonRef
        if isinstance(holder, AnonymousSegment):
            person = holder
        else:
            person = CanonicalUser(holder, self._users.by_id[holder].name)
        sources = self._unit.ask.sources(self._workspace, [person])[person]
        return profile.fold(self._entries(sources))

    def _entries(self, sources: Sequence[Source]) -> list[Entry]:
        found = self._unit.ask.operations(self._workspace, sources)
        return [_entry(one) for one in found]


def _entry(found: Operations) -> Entry:
    operations = parse_operations(Kind(found.kind), found.payload)
    return Entry(found.position, found.named, operations)


def _said(verdict: Verdict, holder: Holder) -> Said:
    message = verdict.message
    named = message.user is not None
    return Said(message.position, holder, named, operations_of(message), verdict)


def _absorb_all(said: Said, traits: dict[str, Trait]) -> bool:
    """Apply a message's operations to a profile. Return False where only a fold can tell."""
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
            _warn_of_skipped(said.verdict, operation)
    if said.verdict is not None and len(traits) > TRAITS_MANY:
        _warn_of_many(said.verdict, traits)
    return True


def _warn_of_skipped(verdict: Verdict, operation: Operation) -> None:
    warning = warnings.operation_skipped(operation.action, operation.trait)
    if warning not in verdict.warnings:
        verdict.warnings += (warning,)


def _warn_of_many(verdict: Verdict, traits: dict[str, Trait]) -> None:
    count = sum(trait.value is not MISSING for trait in traits.values())
    if count > TRAITS_MANY:
        verdict.warnings += (warnings.traits_many(count),)
