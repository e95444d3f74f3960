"""One pass over a workspace's ledger, which sorts what the rules need of it."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message
from sameas_service.domain.unlinks import is_struck
from sameas_service.resolver.maintain.external_sort import Row, Sorter
from sameas_service.resolver.maintain.pairs import KINDS, Pairs, as_message
from sameas_service.resolver.maintain.profiles import user_key

_RESET, _UNLINK = int(Kind.RESET), int(Kind.UNLINK)
_PAGE = 4_096


class Flags:
    """A set of surrogates, with a byte for each of those that are near each other."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = defaultdict(lambda: bytearray(_PAGE))

    def __contains__(self, surrogate: int) -> bool:
        page, place = divmod(surrogate, _PAGE)
        return page in self._pages and self._pages[page][place] == 1

    def __iter__(self) -> Iterator[int]:
        """Yield the surrogates in order."""
        for page in sorted(self._pages):
            for found in re.finditer(b"\x01", self._pages[page]):
                yield page * _PAGE + found.start()

    def update(self, surrogates: Iterable[int]) -> None:
        """Add surrogates."""
        for surrogate in surrogates:
            page, place = divmod(surrogate, _PAGE)
            self._pages[page][place] = 1


class LedgerPass:
    """What the rules need of a ledger, sorted, with surrogates for ids.

    Attributes:
        timelines: messages that count on a device: device, position, user, and whether it is a
            reset.
        operations: messages that name a user and speak of traits: the person's key, position,
            True, kind and payload; see `profiles`.
        visitors: messages that name no user and speak of traits: device, position, kind and
            payload.
        marks, wrong_marks: rows of the ledger that are marked wrongly: number, and what `user`,
            `struck` and `speaks` must be; the same with what these are.
        named: users that a message in force names.
        mentioned: all users.
        with_operations: devices of `visitors`.
    """

    def __init__(self, pairs: Pairs, marks: Sorter, wrong_marks: Sorter, files: ExitStack) -> None:
        """Begin with what unlinks and links say. `files` closes the sorters that are made here."""
        self._pairs = pairs
        self.marks, self.wrong_marks = marks, wrong_marks
        self.timelines, self.operations, self.visitors = (
            files.enter_context(Sorter()) for _ in range(3)
        )
        self.named, self.mentioned, self.with_operations = Flags(), Flags(), Flags()
        for users in pairs.links:
            self.named.update(users[:2])

    def read(self, pieces: Iterable[list[Row]], tell: Callable[[int], None]) -> None:
        """Take in a ledger; `tell` is called with how many messages are done."""
        done = 0
        tell(done)
        for piece in pieces:
            self._take(piece)
            done += len(piece)
            tell(done)

    def _take(self, piece: list[Row]) -> None:
        parted = self._pairs.parted
        timelines: list[Row] = []
        users: set[int] = set()
        for row in piece:
            _, at, message_id, kind, device, user, source, _, struck, marked, payload = row
            speaks = payload != "" and _has_operations(kind, payload)
            is_plain = source is None and struck is None and marked == speaks and kind != _UNLINK
            if not is_plain and not self._check_marks(row, int(speaks)):
                continue
            if user is not None:
                users.add(user)
            if speaks:
                self._speak(row)
            if device is None or (device in parted and self._is_struck(row)):
                continue
            timelines.append((device, at, message_id, user, kind == _RESET))
        self.timelines.extend(timelines)
        self.named.update(users)
        self.mentioned.update(users)

    def _check_marks(self, row: Row, speaks: int) -> bool:
        """Note how a row should be marked, if not as it is. Return whether the message counts."""
        number, _, message_id, kind, _, user, source, *stored, _ = row
        if kind == _UNLINK:
            counts, expected = False, [None, None, speaks]
        elif message_id in self._pairs.struck_links:
            counts, expected = False, [None, user, speaks]
        else:
            counts, expected = True, [user, None, speaks]
        if source is not None:
            self.mentioned.update((source, user))
        if stored != expected:
            self.marks.add((number, *expected))
            self.wrong_marks.add((number, *stored))
        return counts

    def _is_struck(self, row: Row) -> bool:
        _, at, message_id, kind, device, user, *_ = row
        message = as_message(kind, at, message_id, device=device, user=user)
        return message.is_claim and is_struck(message, self._pairs.struck)

    def _speak(self, row: Row) -> None:
        _, at, message_id, kind, device, user, *_, payload = row
        if user is None:
            self.visitors.add((device, at, message_id, kind, payload))
            self.with_operations.update((device,))
        else:
            key = user_key(self._pairs, user)
            self.operations.add((*key, at, message_id, True, kind, payload))


def _has_operations(kind: int, payload: str) -> bool:
    return Message(KINDS[kind], START, 0, payload=payload).has_operations
