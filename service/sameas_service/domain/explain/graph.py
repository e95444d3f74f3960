"""What joins ids in a history: claims join a device and a user, links two users."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from sameas_service.domain import person_ids
from sameas_service.domain.derive import Rules
from sameas_service.domain.explain.endpoints import (
    DeviceEndpoint,
    Endpoint,
    Place,
    UserEndpoint,
    place_of,
)
from sameas_service.domain.links import Link, canonical_users
from sameas_service.domain.message import Message
from sameas_service.domain.ownership import Span, spans


class Step(NamedTuple):
    """Two ids that messages join directly: a device and a user, or two users.

    Attributes:
        device: the device, where the messages are claims.
        source: the former user id, where they are links.
        user: the user at the other end.
        messages: all that join the two, in order of position; at least one.
    """

    device: str | None
    source: str | None
    user: str
    messages: list[Message]


class IdentityGraph:
    """The claims and links among messages in force."""

    def __init__(self, messages: Iterable[Message], rules: Rules) -> None:
        self._messages = sorted(messages, key=lambda m: m.position)
        self._rules = rules

    def without(self, dropped: Collection[str]) -> "IdentityGraph":
        """Return the graph as if the messages with these ids had never come."""
        left = [m for m in self._messages if m.message_id not in dropped]
        return IdentityGraph(left, self._rules)

    def about(self, devices: Collection[str]) -> "IdentityGraph":
        """Return the graph of the messages of some devices and of all links."""
        kept = [m for m in self._messages if m.is_link or m.device in devices]
        return IdentityGraph(kept, self._rules)

    @cached_property
    def claims(self) -> dict[tuple[str, str], list[Message]]:
        """The claims of each device by each user."""
        found: dict[tuple[str, str], list[Message]] = defaultdict(list)
        for message in self._messages:
            if message.is_claim and message.device is not None and message.user is not None:
                found[message.device, message.user].append(message)
        return dict(found)

    @cached_property
    def links(self) -> dict[frozenset[str], list[Message]]:
        """The links of each two users, in either direction."""
        found: dict[frozenset[str], list[Message]] = defaultdict(list)
        for message in self._messages:
            if message.is_link and message.source is not None and message.user is not None:
                found[frozenset((message.source, message.user))].append(message)
        return dict(found)

    @cached_property
    def canonical(self) -> dict[str, str]:
        """Each linked user, and the canonical one of their person."""
        return canonical_users(
            Link(m.position, m.source, m.user)
            for links in self.links.values()
            for m in links
            if m.source is not None and m.user is not None
        )

    @cached_property
    def users(self) -> set[str]:
        """All users that a message names."""
        named = {m.user for m in self._messages} | {m.source for m in self._messages}
        return {user for user in named if user is not None}

    @cached_property
    def _neighbours(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for pair in self.links:
            if len(pair) == 2:
                one, other = pair
                found[one].append(other)
                found[other].append(one)
        return {user: sorted(linked) for user, linked in found.items()}

    def place_of(self, endpoint: DeviceEndpoint) -> Place | None:
        """Return where a device's endpoint is; None where no message put it there."""
        return place_of(endpoint, self._messages, self._rules.session_gap)

    def owned(self, place: Place) -> list[list[Span]]:
        """Return the spans of each segment of a place's device."""
        return [spans(segment, self._rules.session_gap) for segment in place.segments]

    def user_of(self, endpoint: Endpoint) -> str | None:
        """Return the user that an endpoint is, or who owns its place; None for no owner."""
        if isinstance(endpoint, UserEndpoint):
            return endpoint.user
        place = self.place_of(endpoint)
        return None if place is None or place.span is None else place.span.owner

    def has(self, endpoint: Endpoint) -> bool:
        """Return whether a message names the endpoint."""
        if isinstance(endpoint, UserEndpoint):
            return endpoint.user in self.users
        return self.place_of(endpoint) is not None

    def person_id(self, endpoint: Endpoint) -> str | None:
        """Return the id of an endpoint's person; None where no message made one."""
        if isinstance(endpoint, UserEndpoint):
            return self._of_user(endpoint.user) if self.has(endpoint) else None
        place = self.place_of(endpoint)
        if place is None:
            return None
        if place.span is not None:
            return self._of_user(place.span.owner)
        if all(message.user is not None for message in place.segment.messages):
            # No messages, no person: a reset that names a user is that user's.
            return None
        return person_ids.of_segment(self._rules.workspace, endpoint.device, place.segment.start)

    def _of_user(self, user: str) -> str:
        return person_ids.of_user(self._rules.workspace, self.canonical.get(user, user))

    def kin(self, user: str) -> set[str]:
        """Return all users of a user's person."""
        return set(self._reached(user))

    def path(self, first: str, second: str) -> list[str] | None:
        """Return the shortest way over links from one user to another; None where there is none."""
        came_from = self._reached(first)
        if second not in came_from:
            return None
        path = [second]
        while path[-1] != first:
            path.append(came_from[path[-1]])
        return path[::-1]

    def _reached(self, first: str) -> dict[str, str]:
        """Return each user of the person, and the one before them on the shortest way there."""
        came_from = {first: first}
        waiting = deque([first])
        while waiting:
            user = waiting.popleft()
            for neighbour in self._neighbours.get(user, ()):
                if neighbour not in came_from:
                    came_from[neighbour] = user
                    waiting.append(neighbour)
        return came_from

    def chain(self, first: Endpoint, second: Endpoint) -> list[Step] | None:
        """Return the steps from one endpoint to the other.

        None where they are not one person, or one that has no user; empty where both
        endpoints are the same user.
        """
        start, goal = self.user_of(first), self.user_of(second)
        path = None if start is None or goal is None else self.path(start, goal)
        if path is None:
            return None
        steps = [self._claimed(first, path[0])]
        steps += [self._linked(one, other) for one, other in pairwise(path)]
        steps.append(self._claimed(second, path[-1]))
        chain: list[Step] = []
        for step in steps:
            # Two segments of one device may have the same owner.
            if step is not None and step not in chain:
                chain.append(step)
        return chain

    def _claimed(self, endpoint: Endpoint, owner: str) -> Step | None:
        if isinstance(endpoint, UserEndpoint):
            return None
        return Step(endpoint.device, None, owner, self.claims[endpoint.device, owner])

    def _linked(self, one: str, other: str) -> Step:
        links = self.links[frozenset((one, other))]
        user = links[0].user
        assert user is not None, "a link has a user"
        return Step(None, links[0].source, user, links)
