"""Messages that stand before others of their device: whose they are, and what they leave."""

from typing import NamedTuple

from sameas_service.domain.device import Device, Placed, Plan
from sameas_service.domain.device_timeline import Around
from sameas_service.domain.message import Message, Position, after
from sameas_service.store.sqlite.subject import Segment, Subject


class Late(NamedTuple):
    """A message that stands before others of its device, and what is around it."""

    device: Device
    message: Message
    placed: Placed
    at: Subject
    runs: Around
    claims: tuple[Position | None, Position | None]

    def subject(self, plan: Plan, segment: Segment) -> Subject:
        """Whose it is, by what it changes and the segment that it stands in."""
        if self.placed.user is not None:
            return self.placed.user
        if self.placed.is_reset:
            # What stands before the reset and was only claimed behind it is nobody's now.
            earlier = self.runs.earlier
            return segment if earlier is None or earlier.owner is None else earlier.owner
        if plan.put and plan.put[0].owner is not None:
            return plan.put[0].owner
        return self.at

    def note_arrival(self) -> None:
        """Brings a device's state up to date, but for its owner: that is read from its rows."""
        device, placed = self.device, self.placed
        assert device.last is not None, "a late message has others before it"
        if placed.position > device.last:
            device.last = placed.position
            device.visit, device.visit_known = None, True
        elif placed.position > device.segment:
            device.visit, device.visit_known = None, False
            if placed.is_reset:
                device.segment = after(placed.position)
