"""What keeps two ids from being one person."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from sameas_service.domain import payload
from sameas_service.domain.explain.endpoints import DeviceEndpoint, Endpoint, Standing, UserEndpoint
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
    messages: Sequence[Message], ties: IdentityGraph, first: Endpoint, second: Endpoint
) -> list[Separation]:
    """What keeps the two apart, each thing once, given all messages, struck ones too."""
    found = [
        *_unlinked(messages, ties, first, second),
        *_on_device(messages, ties, first, second),
        *_on_device(messages, ties, second, first),
    ]
    if isinstance(first, UserEndpoint) and isinstance(second, UserEndpoint):
        found += _shared(ties, first.user, second.user)
    once = {(one.reason, one.evidence and one.evidence.message_id): one for one in reversed(found)}
    if not once:
        sentence = "no message names both, nor ids that lead from one to the other"
        return [Separation(SeparationReason.NO_CLAIM, None, sentence)]
    return sorted(once.values(), key=lambda one: (one.reason, _position(one)))


def _position(separation: Separation) -> tuple[int, str]:
    message = separation.evidence
    return (0, "") if message is None else message.position


# ---- Unlinks ------------------------------------------------------------------------------


class _Tie(NamedTuple):
    """An edge among ends and users; `pair` where it was struck."""

    to: str
    pair: Pair | None


def _unlinked(
    messages: Sequence[Message], ties: IdentityGraph, first: Endpoint, second: Endpoint
) -> Iterator[Separation]:
    """The unlinks but for which there were a way from one to the other."""
    struck = strikes(messages)
    if not struck:
        return
    latest = {
        pair_of(m): m for m in sorted(messages, key=lambda m: m.position) if m.kind == Kind.UNLINK
    }
    for pair in _struck_on_the_way(_graph(messages, struck, ties, (first, second))):
        unlink = latest[pair]
        reason = payload.parse(unlink.payload).get("reason", "")
        because = f", because: {reason}" if reason else ""
        sentence = f"{_pair_words(pair)} were unlinked by {evidence(unlink)}{because}"
        yield Separation(SeparationReason.UNLINKED, unlink, sentence)


def _pair_words(pair: Pair) -> str:
    kind, one, user = pair
    other = f"device {one!r}" if kind == "device" else f"user {one!r}"
    return f"{other} and user {user!r}"


_ENDS = ("first", "second")


def _graph(
    messages: Sequence[Message],
    struck: dict[Pair, int],
    ties: IdentityGraph,
    ends: tuple[Endpoint, Endpoint],
) -> dict[str, list[_Tie]]:
    """Users as they are linked or were, and each end with the users that own it or did."""
    graph: dict[str, list[_Tie]] = defaultdict(list)

    def join(one: str, other: str, pair: Pair | None) -> None:
        graph[one].append(_Tie(other, pair))
        graph[other].append(_Tie(one, pair))

    for name, end in zip(_ENDS, ends, strict=True):
        owner = ties.user_of(end)
        if owner is not None:
            join(name, f"u{owner}", None)
    for link in ties.links:
        join(f"u{min(link)}", f"u{max(link)}", None)
    for pair in _struck_pairs(messages, struck):
        kind, one, user = pair
        if kind == "users":
            join(f"u{one}", f"u{user}", pair)
        for name, end in zip(_ENDS, ends, strict=True):
            if isinstance(end, DeviceEndpoint) and pair[:2] == ("device", end.device):
                join(name, f"u{user}", pair)
    return graph


def _struck_pairs(messages: Iterable[Message], struck: dict[Pair, int]) -> set[Pair]:
    """The unlinked pairs that had claims or links."""
    return {
        pair
        for m in messages
        if (m.is_claim or m.is_link) and is_struck(m, struck) and (pair := pair_of(m)) is not None
    }


def _struck_on_the_way(graph: dict[str, list[_Tie]]) -> list[Pair]:
    """The struck pairs on the way with the fewest of them; none where there is no way."""
    waiting: list[tuple[int, int, str, list[Pair]]] = [(0, 0, _ENDS[0], [])]
    seen: set[str] = set()
    while waiting:
        count, hops, name, pairs = heapq.heappop(waiting)
        if name == _ENDS[1]:
            return pairs
        if name in seen:
            continue
        seen.add(name)
        for to, pair in graph.get(name, ()):
            more = [] if pair is None else [pair]
            heapq.heappush(waiting, (count + len(more), hops + 1, to, pairs + more))
    return []


# ---- A device and who might have owned it -------------------------------------------------


def _on_device(
    messages: Sequence[Message], ties: IdentityGraph, end: Endpoint, other: Endpoint
) -> Iterator[Separation]:
    """Why the end's place on its device is not one of the other's users'."""
    if not isinstance(end, DeviceEndpoint):
        return
    place, kin = ties.standing(end), _kin(ties, other)
    if place is None:
        yield from _by_rule(messages, end.device, kin)
        return
    if place.span is not None and place.span.owner in kin:
        return
    yield from _between_segments(ties, place, end, other)
    uses = {i for i, own in enumerate(ties.owned(place)) if any(s.owner in kin for s in own)}
    if not uses:
        yield from _by_rule(messages, end.device, kin)
    elif place.span is not None:
        yield _other_owner(ties, end.device, place.span, kin)
    if uses and place.number not in uses:
        nearest = max((i for i in uses if i < place.number), default=min(uses))
        yield _reset_between(place.segments[min(nearest, place.number)])


def _kin(ties: IdentityGraph, end: Endpoint) -> set[str]:
    """The users of an end's person; of a device that nobody owns, all who ever claimed it."""
    user = ties.user_of(end)
    if user is not None:
        return ties.kin(user)
    assert isinstance(end, DeviceEndpoint), "a user end has a user"
    return {user for device, user in ties.claims if device == end.device}


def _between_segments(
    ties: IdentityGraph, place: Standing, end: DeviceEndpoint, other: Endpoint
) -> Iterator[Separation]:
    """Two segments of one device that nobody owns."""
    if isinstance(other, DeviceEndpoint) and other.device == end.device:
        there = ties.standing(other)
        if there is not None and there.number != place.number:
            yield _reset_between(place.segments[min(there.number, place.number)])


def _reset_between(segment: Segment) -> Separation:
    reset = segment.messages[-1]
    sentence = f"the use of device {segment.device!r} before {evidence(reset)} ended with it"
    return Separation(SeparationReason.RESET_BETWEEN, reset, sentence)


def _other_owner(ties: IdentityGraph, device: str, span: Span, kin: set[str]) -> Separation:
    claim = next(m for m in ties.claims[device, span.owner] if m.position == span.claim)
    users = sorted(user for user in kin if (device, user) in ties.claims)
    sentence = (
        f"device {device!r} was used by user {users[0]!r} too, but there it belongs to user "
        f"{span.owner!r} because of {evidence(claim)}"
    )
    return Separation(SeparationReason.OTHER_OWNER, claim, sentence)


def _by_rule(messages: Iterable[Message], device: str, kin: set[str]) -> Iterator[Separation]:
    """A message that names the device and one of the users, and yet claims nothing."""
    for message in sorted(messages, key=lambda m: m.position):
        if message.user not in kin:
            continue
        why = _rule(message, device)
        if why:
            yield Separation(SeparationReason.RULE, message, f"{evidence(message)} {why}")
            return


def _rule(message: Message, device: str) -> str:
    """Why a message does not claim a device that it names; empty where it does not name it."""
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


def _shared(ties: IdentityGraph, first: str, second: str) -> Iterator[Separation]:
    """Where both used one device: the last time that it went from one to the other."""
    sides = dict.fromkeys(ties.kin(first), 1) | dict.fromkeys(ties.kin(second), 2)
    devices: dict[str, set[int]] = defaultdict(set)
    for device, user in ties.claims:
        if user in sides:
            devices[device].add(sides[user])
    changes: dict[SeparationReason, Separation] = {}
    for device in sorted(devices):
        if len(devices[device]) == 2:
            for change in _changes(ties, device, sides):
                known = changes.get(change.reason)
                if known is None or _position(known) < _position(change):
                    changes[change.reason] = change
    yield from changes.values()


def _changes(ties: IdentityGraph, device: str, sides: dict[str, int]) -> Iterator[Separation]:
    """Each time that the device went from a user of one side to one of the other."""
    place = ties.standing(DeviceEndpoint(device))
    assert place is not None, "a claimed device has a place"
    before: tuple[int, Span] | None = None
    for index, own in enumerate(ties.owned(place)):
        for span in own:
            if span.owner not in sides:
                continue
            if before is not None and sides[before[1].owner] != sides[span.owner]:
                if before[0] == index:
                    yield _switched(ties, before[1].owner, span)
                else:
                    yield _reset_between(place.segments[before[0]])
            before = (index, span)


def _switched(ties: IdentityGraph, former: str, span: Span) -> Separation:
    claim = next(m for m in ties.claims[span.device, span.owner] if m.position == span.claim)
    sentence = (
        f"both used device {span.device!r}, at different times: it belonged to user {former!r}, "
        f"then to user {span.owner!r} because of {evidence(claim)}"
    )
    return Separation(SeparationReason.OTHER_OWNER, claim, sentence)
