"""Messages that come before others of their device: who holds them, and what they leave."""

from typing import NamedTuple

from sameas_service.domain.device import Device, Placed, Plan
from sameas_service.domain.device_timeline import Around
from sameas_service.domain.message import Message, Position, after
from sameas_service.resolver.facts import AnonymousSegment, Holder


class Gain(NamedTuple):
    """A segment without an owner until a user claimed it, in order, at this position."""

    user: int
    segment: AnonymousSegment
    claim: Position


class Late(NamedTuple):
    """A message that comes before others of its device, and what is around it.

    Attributes:
        device: its device.
        message: the message.
        placed: what of it matters to the timeline.
        at: who holds its position before it is taken.
        runs: the runs of claims around it.
        claims: the claims next to it, of the earlier run's owner.
    """

    device: Device
    message: Message
    placed: Placed
    at: Holder
    runs: Around
    claims: tuple[Position | None, Position | None]

    def holder(self, plan: Plan, segment: AnonymousSegment) -> Holder:
        """Return who holds it, given what it changes and the segment that it is in."""
        if self.placed.user is not None:
            return self.placed.user
        if self.placed.is_reset:
            # What comes before the reset and was only claimed after it has no owner now.
            earlier = self.runs.earlier
            return segment if earlier is None or earlier.owner is None else earlier.owner
        if plan.put and plan.put[0].owner is not None:
            return plan.put[0].owner
        return self.at

    def note_arrival(self) -> None:
        """Bring the device's state up to date, but for its owner, which its spans tell."""
        device, placed = self.device, self.placed
        assert device.last is not None, "a late message has others after it"
        if placed.position > device.last:
            device.last = placed.position
            device.visit, device.visit_known = None, True
        elif placed.position > device.segment:
            device.visit, device.visit_known = None, False
            if placed.is_reset:
                device.segment = after(placed.position)
