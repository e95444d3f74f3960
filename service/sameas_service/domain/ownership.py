"""Who a device belonged to when: segments between resets, and spans of one owner.

This is the rule in its plain form, over all messages of one device. The resolver has the
incremental twin.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Message, Position, after

SESSION_GAP_DEFAULT = 30 * 60 * 1_000_000
"""Microseconds between two messages of one visit at most: 30 minutes, as in most analytics."""


class Segment(NamedTuple):
    """A device's time between two resets."""

    device: str
    start: Position
    messages: Sequence[Message]

    @property
    def reset_id(self) -> str | None:
        """Message id of the reset that it follows; None for a device's first segment."""
        return None if self.start == START else self.start.message_id[:-1]


class Span(NamedTuple):
    """A stretch of a segment with one owner: from `start` up to the next span's start."""

    device: str
    start: Position
    owner: str
    claim: Position


def segments(device: str, messages: Sequence[Message]) -> list[Segment]:
    """The segments of a device that hold messages. A reset is the last of its segment."""
    result: list[Segment] = []
    start, held = START, list[Message]()
    for message in sorted(messages, key=lambda m: m.position):
        held.append(message)
        if message.kind is Kind.RESET:
            result.append(Segment(device, start, held))
            start, held = after(message.position), []
    if held:
        result.append(Segment(device, start, held))
    return result


def spans(segment: Segment, session_gap: int) -> list[Span]:
    """The spans of a segment; none where nobody claims it.

    The first claim owns from the segment's start: the visitor's past is theirs. A claim by
    another user than the present owner opens a span, cut at the start of their visit.
    """
    result: list[Span] = []
    for index, message in enumerate(segment.messages):
        if not message.is_claim or message.user is None:
            continue
        if not result:
            result.append(Span(segment.device, segment.start, message.user, message.position))
        elif result[-1].owner != message.user:
            start = cut(segment.messages, index, session_gap)
            result.append(Span(segment.device, start, message.user, message.position))
    return result


def cut(messages: Sequence[Message], claim: int, session_gap: int) -> Position:
    """Where the visit starts in which the claim at this index was made.

    Walks back over messages that name no user while neighbours are at most `session_gap`
    apart, so that what someone does before signing in on a shared computer is theirs.
    """
    first = claim
    while session_gap > 0 and first > 0:
        before = messages[first - 1]
        gap = messages[first].event_time - before.event_time
        if before.user is not None or gap > session_gap:
            break
        first -= 1
    return messages[first].position


def owner_at(spans_of_device: Sequence[Span], segment: Segment, position: Position) -> str | None:
    """Who owned a segment at a position; None for nobody."""
    owner = None
    for span in spans_of_device:
        if segment.start <= span.start <= position:
            owner = span.owner
    return owner
