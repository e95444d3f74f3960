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


class Place(NamedTuple):
    """Where a device's endpoint is: the device's segments, the number of its own among them,
    and the span there, which is None where the segment has no owner.
    """

    segments: list[Segment]
    number: int
    span: Span | None

    @property
    def segment(self) -> Segment:
        """The segment that holds the place."""
        return self.segments[self.number]


def place_of(
    endpoint: DeviceEndpoint, messages: Iterable[Message], session_gap: int
) -> Place | None:
    """Return where an endpoint is, given all messages in force; None for no such place."""
    found = segments(endpoint.device, [m for m in messages if m.device == endpoint.device])
    starts = [segment.start for segment in found]
    if not found or (endpoint.start is not None and endpoint.start not in starts):
        return None
    index = len(found) - 1 if endpoint.start is None else starts.index(endpoint.start)
    position = found[index].messages[-1].position if endpoint.start is None else endpoint.start
    owned = [span for span in spans(found[index], session_gap) if span.start <= position]
    return Place(found, index, owned[-1] if owned else None)


def find(world: World, endpoint: Endpoint, rules: Rules) -> Person | None:
    """Return the person that an endpoint belongs to; None where no message made one."""
    if isinstance(endpoint, UserEndpoint):
        person_id = world.user_ids.get(endpoint.user)
    elif endpoint.start is None:
        person_id = world.anonymous_ids.get(endpoint.device)
    else:
        person_id = person_ids.of_segment(rules.workspace, endpoint.device, endpoint.start)
        if person_id not in world.people:
            person_id = _owner(world, endpoint.device, endpoint.start)
    # A reset that names a user may be all there is of a segment: then it has no person.
    return None if person_id is None else world.people.get(person_id)


def _owner(world: World, device: str, start: Position) -> str | None:
    """Return the id of the person who owns the span there, which starts with the segment."""
    for person in world.people.values():
        if any(span.device == device and span.start == start for span in person.spans):
            return person.person_id
    return None


def in_words(endpoint: Endpoint) -> str:
    """Return the endpoint in words."""
    if isinstance(endpoint, UserEndpoint):
        return f"user {endpoint.user!r}"
    if endpoint.start is None:
        return f"device {endpoint.device!r}"
    if endpoint.start == START:
        return f"the first segment of device {endpoint.device!r}"
    return f"device {endpoint.device!r} after reset {endpoint.start.message_id[:-1]!r}"
