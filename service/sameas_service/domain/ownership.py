"""Who a device belonged to when: segments between resets, and spans of one owner.

This is the rule in its plain form: one device, folded over its messages in order. The
incremental twin, for messages as they arrive, is `device_timeline`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeVar

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, Position, after

SESSION_GAP_DEFAULT = 30 * 60 * 1_000_000
"""Microseconds between two messages of one visit at most: 30 minutes, as in most analytics."""


class Segment(NamedTuple):
    """A device's time between two resets."""

    device: str
    start: Position
    messages: Sequence[Message]


class Span(NamedTuple):
    """A stretch of a segment with one owner: from `start` up to the next span's start.

    Attributes:
        device: the device's anonymous id.
        start: the first position that it holds.
        owner: the user.
        claim: position of the claim that opened it.
    """

    device: str
    start: Position
    owner: str
    claim: Position


class Unowned(NamedTuple):
    """A whole segment without a claim, from `start` up to the next segment's."""

    device: str
    start: Position


class DeviceFold:
    """The fold of one device's messages, in order of position, into its spans.

    The first claim of a segment owns from the segment's start: the visitor's past is theirs. A
    claim by another user than the present owner opens a span, cut at the start of their visit,
    so that what someone does before signing in on a shared computer is theirs. A visit is
    messages that name no user, with neighbours at most `session_gap` apart.

    Attributes:
        open: the span or segment that the next message falls into. After a reset it is empty.
        visit: where the visit starts that the last message belongs to; None if that named a
            user or was a reset.
    """

    def __init__(self, device: str, session_gap: int, start: Position = START) -> None:
        """Begin before the first message of a device, or of a segment that starts there."""
        self._gap = 2 * session_gap  # as `at` is twice the event time
        self._last_at, self._last_id = START
        self.open: Span | Unowned = Unowned(device, start)
        self.visit: Position | None = None

    @property
    def last(self) -> Position:
        """The last message's position; `START` before the first."""
        return Position(self._last_at, self._last_id)

    def take(
        self, at: int, message_id: str, user: str | None, *, is_reset: bool
    ) -> Span | Unowned | None:
        """Take the next message. Return the span or segment that it ends, if it ends one.

        Its position comes in two parts: to make one for each message took half of the time.
        """
        before = self.open
        visit = self.visit if at - self._last_at <= self._gap else None
        self._last_at, self._last_id = at, message_id
        self.visit = None
        if is_reset:
            self.open = Unowned(before.device, after(self.last))
            return before
        if user is None:
            self.visit = visit or self.last
            return None
        if isinstance(before, Unowned):
            self.open = Span(before.device, before.start, user, self.last)
            return None
        if before.owner == user:
            return None
        start = visit if visit is not None and self._gap > 0 else self.last
        self.open = Span(before.device, start, user, self.last)
        return before


def segments(device: str, messages: Sequence[Message]) -> list[Segment]:
    """Return the segments of a device that hold messages. A reset is the last of its segment."""
    result: list[Segment] = []
    start, held = START, list[Message]()
    for message in sorted(messages, key=attrgetter("position")):
        held.append(message)
        if message.kind is Kind.RESET:
            result.append(Segment(device, start, held))
            start, held = after(message.position), []
    if held:
        result.append(Segment(device, start, held))
    return result


def spans(segment: Segment, session_gap: int) -> list[Span]:
    """Return the spans of a segment that have an owner; none where it has no claim."""
    found = spans_of(segment.device, segment.messages, session_gap, segment.start)
    return [span for span in found if isinstance(span, Span)]


def spans_of(
    device: str, messages: Iterable[Message], session_gap: int, start: Position = START
) -> list[Span | Unowned]:
    """Return a device's spans and unowned segments, in order, given its messages in order."""
    fold = DeviceFold(device, session_gap, start)
    ended = [
        span
        for m in messages
        if (span := fold.take(*m.position, m.user, is_reset=m.kind is Kind.RESET)) is not None
    ]
    return [*ended, fold.open]


AnySpan = TypeVar("AnySpan", Span, Span | Unowned)


def span_at(found: Sequence[AnySpan], position: Position) -> AnySpan | None:
    """Return the span that holds a position; None for a position before all of them."""
    index = bisect_right(found, position, key=attrgetter("start"))
    return found[index - 1] if index else None
