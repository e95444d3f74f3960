"""Values of a device's timeline: its state, its spans, and what changes among them.

Users are surrogates: the store's numbers for them.
"""

from dataclasses import dataclass
from typing import NamedTuple

from sameas_service.domain.message import START, Position


class Placed(NamedTuple):
    """The part of a message that matters to its device's timeline."""

    position: Position
    user: int | None
    is_reset: bool

    @property
    def is_claim(self) -> bool:
        """Whether it claims the device for its user."""
        return self.user is not None and not self.is_reset


class SpanRow(NamedTuple):
    """A stored span, or a segment without an owner.

    Attributes:
        start: first position that it holds.
        owner: surrogate of the user, if there is one.
        claim: position of the claim that opened it; None without an owner.
    """

    start: Position
    owner: int | None = None
    claim: Position | None = None

    @property
    def opens_segment(self) -> bool:
        """Whether it starts a segment: at the device's start, or after a reset."""
        return self.start == START or self.start.message_id.endswith("\x01")


class Cut(NamedTuple):
    """A start that is still to be found: walk back from `origin`, not as far as `wall`."""

    origin: Position
    wall: Position


class Put(NamedTuple):
    """A row to write, replacing the one with the same start."""

    start: Position | Cut
    owner: int | None
    claim: Position | None


class Plan(NamedTuple):
    """What changes among a device's rows: first the deletions, then the writes."""

    delete: tuple[Position, ...] = ()
    put: tuple[Put, ...] = ()


@dataclass(slots=True)
class Device:
    """The present state of a device: enough for every message that arrives in order.

    Attributes:
        last: position of its last message; None for a new device.
        owner: surrogate of the user who owns the present span, if there is one.
        segment: where the present segment starts.
        visit: the first of the messages without a user that end the timeline with no gap
            between them; None if the last message names a user.
        visit_known: False after a late arrival, until it is needed or seen again.
        has_operations: whether a message without a user ever spoke of traits here.
    """

    id: int
    name: str
    last: Position | None = None
    owner: int | None = None
    segment: Position = START
    visit: Position | None = None
    visit_known: bool = True
    has_operations: bool = False

    @property
    def segment_is_new(self) -> bool:
        """Whether the present segment has no message yet."""
        return self.last is None or self.last < self.segment
