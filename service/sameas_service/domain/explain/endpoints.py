"""What a key names, a user or a place on a device, and who that is in a history."""

from collections.abc import Iterable
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.derive import Person, Rules, World
from sameas_service.domain.message import START, Message, Position
from sameas_service.domain.ownership import Segment, Span, segments, spans


class UserEndpoint(NamedTuple):
    """A user, by their id."""

    user: str


class DeviceEndpoint(NamedTuple):
    """A device at its latest message; or, as a person id names it, at a segment's start."""

    device: str
    start: Position | None = None


Endpoint = UserEndpoint | DeviceEndpoint


class Standing(NamedTuple):
    """Where a device's end stands: the device's segments, the number of its own among them,
    and the span there, which is None where nobody owns the segment.
    """

    segments: list[Segment]
    number: int
    span: Span | None

    @property
    def segment(self) -> Segment:
        """The segment that holds the place."""
        return self.segments[self.number]


def standing(end: DeviceEndpoint, messages: Iterable[Message], session_gap: int) -> Standing | None:
    """Where the end stands, given all messages in force; None where there is no such place."""
    found = segments(end.device, [m for m in messages if m.device == end.device])
    starts = [segment.start for segment in found]
    if not found or (end.start is not None and end.start not in starts):
        return None
    index = len(found) - 1 if end.start is None else starts.index(end.start)
    place = found[index].messages[-1].position if end.start is None else end.start
    owned = [span for span in spans(found[index], session_gap) if span.start <= place]
    return Standing(found, index, owned[-1] if owned else None)


def find(world: World, end: Endpoint, rules: Rules) -> Person | None:
    """The person that an end belongs to; None where no message made it."""
    if isinstance(end, UserEndpoint):
        person_id = world.user_ids.get(end.user)
    elif end.start is None:
        person_id = world.anonymous_ids.get(end.device)
    else:
        nobody = person_ids.of_segment(rules.workspace, end.device, end.start)
        person_id = nobody if nobody in world.people else _owner(world, end.device, end.start)
    # A reset that names a user may be all there is of a segment: then it is nobody's.
    return None if person_id is None else world.people.get(person_id)


def _owner(world: World, device: str, start: Position) -> str | None:
    """The person whose span starts there: the first span of a segment starts with it."""
    for person in world.people.values():
        if any(span.device == device and span.start == start for span in person.spans):
            return person.person_id
    return None


def words(end: Endpoint) -> str:
    """The end in words."""
    if isinstance(end, UserEndpoint):
        return f"user {end.user!r}"
    if end.start is None:
        return f"device {end.device!r}"
    if end.start == START:
        return f"the first segment of device {end.device!r}"
    return f"device {end.device!r} after reset {end.start.message_id[:-1]!r}"
