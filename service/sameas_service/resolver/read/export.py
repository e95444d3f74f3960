"""The ledger and the ids of one workspace, read out piece by piece, also beside a server.

Each piece is a short read of its own, so that a store can tidy up meanwhile however long the
export takes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.message import START, Message, Position
from sameas_service.resolver.failures import UnknownWorkspace
from sameas_service.resolver.ports import LedgerReader

PIECE_MESSAGES = 2_000
PIECE_IDS = 1_000

USER, ANONYMOUS = "user", "anonymous"


class NoSuchPlace(Exception):
    """What an export shall go on after is not in this store."""


class Holding(NamedTuple):
    """An id, and the person it belongs to from an event time on and up to another one.

    Attributes:
        id: the user or anonymous id.
        kind: which of the two.
        person_id: the person whom messages without a user id belong to.
        start: microseconds, included; None for the beginning of time.
        end: microseconds, not included; None for the end of time.
    """

    id: str
    kind: str
    person_id: str
    start: int | None
    end: int | None


class Export:
    """One workspace, to be read out."""

    def __init__(self, reader: LedgerReader, workspace: str) -> None:
        """Find the workspace.

        Raises:
            UnknownWorkspace: there is none of that name.
        """
        found = reader.workspace(workspace)
        if found is None:
            raise UnknownWorkspace(workspace)
        self._reader = reader
        self._workspace = found

    def place_of(self, message_id: str) -> int:
        """Return a message's place in the ledger.

        Raises:
            NoSuchPlace: it is not in it.
        """
        found = self._reader.number_of(self._workspace, message_id)
        if found is None:
            raise NoSuchPlace
        return found

    def messages_after(self, place: int) -> int:
        """Return how many messages come after a place."""
        return self._reader.count_after(self._workspace, place)

    def messages(self, place: int) -> Iterator[list[Message]]:
        """Yield the messages after a place in the order in which they were taken.

        Those that a server takes meanwhile are left out.
        """
        while rows := self._reader.messages_after(self._workspace, place, PIECE_MESSAGES):
            place = rows[-1][0]
            yield [message for _, message in rows]

    def holdings(self, last: Holding | None) -> Iterator[list[Holding]]:
        """Yield all user ids, then the holdings of all anonymous ids, piece by piece.

        Each row is right as of the moment it is read: where a server takes merges meanwhile,
        an earlier one may be of before and a later one of after.

        Args:
            last: the one that all up to are left out, itself included; None for none.
        """
        user, device = self._after(last)
        workspace = self._workspace
        if last is None or last.kind == USER:
            while users := self._reader.users_after(workspace, user, PIECE_IDS):
                user = users[-1][0]
                yield [self._of_user(name, canonical) for _, name, canonical in users]
        while devices := self._reader.devices_after(workspace, device, PIECE_IDS):
            device = devices[-1][0]
            found = [
                one
                for _, name, position, spans in devices
                for one in self._of_device(name, position, spans)
            ]
            if last is not None and last.kind == ANONYMOUS:
                found = [one for one in found if not _is_done(one, last)]
            yield found

    def _after(self, last: Holding | None) -> tuple[int, int]:
        """Return the surrogates after which users and devices are wanted; a device that was
        begun is read again.
        """
        if last is None:
            return 0, 0
        is_user = last.kind == USER
        found = self._reader.id_of(self._workspace, last.id, is_user=is_user)
        if found is None:
            raise NoSuchPlace
        return (found, 0) if is_user else (0, found - 1)

    def _of_user(self, name: str, canonical: str) -> Holding:
        return Holding(name, USER, person_ids.of_user(self._workspace.name, canonical), None, None)

    def _of_device(
        self, device: str, last: Position, spans: list[tuple[Position, str | None]]
    ) -> list[Holding]:
        """Return a device's holdings; a span after its last message is not there yet."""
        if not spans or spans[0][0] != START:
            spans = [(START, None), *spans]
        ends = [start for start, _ in spans[1:]] + [None]
        return [
            Holding(
                device,
                ANONYMOUS,
                person_ids.of_segment(self._workspace.name, device, start)
                if owner is None
                else person_ids.of_user(self._workspace.name, owner),
                None if start == START else _time_of(start),
                None if end is None else _time_of(end),
            )
            for (start, owner), end in zip(spans, ends, strict=True)
            if start <= last
        ]


def _time_of(start: Position) -> int:
    """Return the event time from which on a span is; after a reset that is the next
    microsecond, since a reset is the last of its own.
    """
    return (start.at + 1) // 2


def _is_done(one: Holding, last: Holding) -> bool:
    return one.id == last.id and (
        one.start is None or (last.start is not None and one.start <= last.start)
    )
