"""What keeps two ids from being one person."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from sameas_service.domain import payload
from sameas_service.domain.explain.endpoints import DeviceEndpoint, Endpoint, Place, UserEndpoint
from sameas_service.domain.explain.graph import IdentityGraph
from sameas_service.domain.explain.wording import evidence
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.ownership import Segment, Span
from sameas_service.domain.unlinks import Pair, is_struck, pair_of, strikes


class SeparationReason(IntEnum):
    """Why two ids are apart. The numbers are those of `SeparationReason` in the protos."""

    NO_CLAIM = 1
    OTHER_OWNER = 2
    RESET_BETWEEN = 3
    UNLINKED = 4
    RULE = 5


class Separation(NamedTuple):
    """One thing that keeps two ids apart, the message that does so, and both in words."""

    reason: SeparationReason
    evidence: Message | None
    sentence: str


def separations(
    messages: Sequence[Message], graph: IdentityGraph, first: Endpoint, second: Endpoint
) -> list[Separation]:
    """Return what keeps the two apart, each thing once, given all messages, struck ones too."""
    found = [
        *_unlinked(messages, graph, first, second),
        *_on_device(messages, graph, first, second),
        *_on_device(messages, graph, second, first),
    ]
    if isinstance(first, UserEndpoint) and isinstance(second, UserEndpoint):
        found += _shared(graph, first.user, second.user)
    once = {(one.reason, one.evidence and one.evidence.message_id): one for one in reversed(found)}
    if not once:
        sentence = "no message names both, nor ids that lead from one to the other"
        return [Separation(SeparationReason.NO_CLAIM, None, sentence)]
    return sorted(once.values(), key=lambda one: (one.reason, _position(one)))


def _position(separation: Separation) -> tuple[int, str]:
    message = separation.evidence
    return (0, "") if message is None else message.position


# ---- Unlinks ------------------------------------------------------------------------------


class _Edge(NamedTuple):
    """An edge among endpoints and users; `pair` where it was struck."""

    to: str
    pair: Pair | None


def _unlinked(
    messages: Sequence[Message], graph: IdentityGraph, first: Endpoint, second: Endpoint
) -> Iterator[Separation]:
    """Yield the unlinks without which there would be a way from one to the other."""
    struck = strikes(messages)
    if not struck:
        return
    latest = {
        pair_of(m): m for m in sorted(messages, key=lambda m: m.position) if m.kind == Kind.UNLINK
    }
    for pair in _struck_on_the_way(_edges(messages, struck, graph, (first, second))):
        unlink = latest[pair]
        reason = payload.parse(unlink.payload).get("reason", "")
        because = f", because: {reason}" if reason else ""
        sentence = f"{_pair_in_words(pair)} were unlinked by {evidence(unlink)}{because}"
        yield Separation(SeparationReason.UNLINKED, unlink, sentence)


def _pair_in_words(pair: Pair) -> str:
    kind, one, user = pair
    other = f"device {one!r}" if kind == "device" else f"user {one!r}"
    return f"{other} and user {user!r}"


_NAMES = ("first", "second")


def _edges(
    messages: Sequence[Message],
    struck: dict[Pair, int],
    graph: IdentityGraph,
    endpoints: tuple[Endpoint, Endpoint],
) -> dict[str, list[_Edge]]:
    """Return the edges of linked users and of endpoints with their owners, struck ones too."""
    edges: dict[str, list[_Edge]] = defaultdict(list)

    def join(one: str, other: str, pair: Pair | None) -> None:
        edges[one].append(_Edge(other, pair))
        edges[other].append(_Edge(one, pair))

    for name, endpoint in zip(_NAMES, endpoints, strict=True):
        owner = graph.user_of(endpoint)
        if owner is not None:
            join(name, f"u{owner}", None)
    for link in graph.links:
        join(f"u{min(link)}", f"u{max(link)}", None)
    for pair in _struck_pairs(messages, struck):
        kind, one, user = pair
        if kind == "users":
            join(f"u{one}", f"u{user}", pair)
        for name, endpoint in zip(_NAMES, endpoints, strict=True):
            if isinstance(endpoint, DeviceEndpoint) and pair[:2] == ("device", endpoint.device):
                join(name, f"u{user}", pair)
    return edges


def _struck_pairs(messages: Iterable[Message], struck: dict[Pair, int]) -> set[Pair]:
    """Return the unlinked pairs that had claims or links."""
    return {
        pair
        for m in messages
        if (m.is_claim or m.is_link) and is_struck(m, struck) and (pair := pair_of(m)) is not None
    }


def _struck_on_the_way(edges: dict[str, list[_Edge]]) -> list[Pair]:
    """Return the struck pairs on the way with the fewest of them; none where there is no way."""
    waiting: list[tuple[int, int, str, list[Pair]]] = [(0, 0, _NAMES[0], [])]
    seen: set[str] = set()
    while waiting:
        count, hops, name, pairs = heapq.heappop(waiting)
        if name == _NAMES[1]:
            return pairs
        if name in seen:
            continue
        seen.add(name)
        for to, pair in edges.get(name, ()):
            more = [] if pair is None else [pair]
            heapq.heappush(waiting, (count + len(more), hops + 1, to, pairs + more))
    return []


# ---- A device and who might have owned it -------------------------------------------------


def _on_device(
    messages: Sequence[Message], graph: IdentityGraph, endpoint: Endpoint, other: Endpoint
) -> Iterator[Separation]:
    """Yield why no user of the other endpoint owns this one's place on its device."""
    if not isinstance(endpoint, DeviceEndpoint):
        return
    place, kin = graph.place_of(endpoint), _kin(graph, other)
    if place is None:
        yield from _by_rule(messages, endpoint.device, kin)
        return
    if place.span is not None and place.span.owner in kin:
        return
    yield from _between_segments(graph, place, endpoint, other)
    uses = {i for i, own in enumerate(graph.owned(place)) if any(s.owner in kin for s in own)}
    if not uses:
        yield from _by_rule(messages, endpoint.device, kin)
    elif place.span is not None:
        yield _other_owner(graph, endpoint.device, place.span, kin)
    if uses and place.number not in uses:
        nearest = max((i for i in uses if i < place.number), default=min(uses))
        yield _reset_between(place.segments[min(nearest, place.number)])


def _kin(graph: IdentityGraph, endpoint: Endpoint) -> set[str]:
    """Return the users of an endpoint's person; without an owner, all who claimed the device."""
    user = graph.user_of(endpoint)
    if user is not None:
        return graph.kin(user)
    assert isinstance(endpoint, DeviceEndpoint), "a user endpoint has a user"
    return {user for device, user in graph.claims if device == endpoint.device}


def _between_segments(
    graph: IdentityGraph, place: Place, endpoint: DeviceEndpoint, other: Endpoint
) -> Iterator[Separation]:
    """Yield the reset between two segments of one device."""
    if isinstance(other, DeviceEndpoint) and other.device == endpoint.device:
        there = graph.place_of(other)
        if there is not None and there.number != place.number:
            yield _reset_between(place.segments[min(there.number, place.number)])


def _reset_between(segment: Segment) -> Separation:
    reset = segment.messages[-1]
    sentence = f"the use of device {segment.device!r} before {evidence(reset)} ended with it"
    return Separation(SeparationReason.RESET_BETWEEN, reset, sentence)


def _other_owner(graph: IdentityGraph, device: str, span: Span, kin: set[str]) -> Separation:
    claim = next(m for m in graph.claims[device, span.owner] if m.position == span.claim)
    users = sorted(user for user in kin if (device, user) in graph.claims)
    sentence = (
        f"device {device!r} was used by user {users[0]!r} too, but there it belongs to user "
        f"{span.owner!r} because of {evidence(claim)}"
    )
    return Separation(SeparationReason.OTHER_OWNER, claim, sentence)


def _by_rule(messages: Iterable[Message], device: str, kin: set[str]) -> Iterator[Separation]:
    """Yield a message that names the device and one of the users, and yet claims nothing."""
    for message in sorted(messages, key=lambda m: m.position):
        if message.user not in kin:
            continue
        why = _rule(message, device)
        if why:
            yield Separation(SeparationReason.RULE, message, f"{evidence(message)} {why}")
            return


def _rule(message: Message, device: str) -> str:
    """Return why a message that names a device does not claim it; empty where no rule says so."""
    if message.kind == Kind.RESET and message.device == device:
        return f"names device {device!r} and user {message.user!r}, but a reset claims nothing"
    if message.kind != Kind.ALIAS:
        return ""
    rest = payload.parse(message.payload)
    if rest.get("anonymousId") == device:
        return f"was sent from device {device!r}, but an alias does not claim its own device"
    if rest.get("previousId") == device:
        return f"is of {device!r} to itself, which changes nothing"
    return ""


# ---- Two users ----------------------------------------------------------------------------


def _shared(graph: IdentityGraph, first: str, second: str) -> Iterator[Separation]:
    """Yield the last time, of each reason, that a device went from one to the other."""
    sides = dict.fromkeys(graph.kin(first), 1) | dict.fromkeys(graph.kin(second), 2)
    devices: dict[str, set[int]] = defaultdict(set)
    for device, user in graph.claims:
        if user in sides:
            devices[device].add(sides[user])
    changes: dict[SeparationReason, Separation] = {}
    for device in sorted(devices):
        if len(devices[device]) == 2:
            for change in _changes(graph, device, sides):
                known = changes.get(change.reason)
                if known is None or _position(known) < _position(change):
                    changes[change.reason] = change
    yield from changes.values()


def _changes(graph: IdentityGraph, device: str, sides: dict[str, int]) -> Iterator[Separation]:
    """Yield each time that the device went from a user of one side to one of the other."""
    place = graph.place_of(DeviceEndpoint(device))
    assert place is not None, "a claimed device has a place"
    before: tuple[int, Span] | None = None
    for index, own in enumerate(graph.owned(place)):
        for span in own:
            if span.owner not in sides:
                continue
            if before is not None and sides[before[1].owner] != sides[span.owner]:
                if before[0] == index:
                    yield _switched(graph, before[1].owner, span)
                else:
                    yield _reset_between(place.segments[before[0]])
            before = (index, span)


def _switched(graph: IdentityGraph, former: str, span: Span) -> Separation:
    claim = next(m for m in graph.claims[span.device, span.owner] if m.position == span.claim)
    sentence = (
        f"both used device {span.device!r}, at different times: it belonged to user {former!r}, "
        f"then to user {span.owner!r} because of {evidence(claim)}"
    )
    return Separation(SeparationReason.OTHER_OWNER, claim, sentence)
