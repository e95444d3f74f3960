"""Unlinks: which claims and links do not count because the pair was parted later.

A struck claim counts as if it had been sent without its anonymous id, a struck link not at all.
"""

from collections.abc import Iterable, Mapping

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message


def in_force(messages: Iterable[Message]) -> list[Message]:
    """Return the messages as they count after all unlinks: struck claims without their device,
    struck links and the unlinks themselves not at all.
    """
    known = list(messages)
    struck = strikes(known)
    return [
        m._replace(device=None) if m.is_claim and is_struck(m, struck) else m
        for m in known
        if m.kind is not Kind.UNLINK and not (m.is_link and is_struck(m, struck))
    ]


Pair = tuple[str, str, str]


def pair_of(message: Message) -> Pair | None:
    """Return what a claim, link or unlink is about: a device and a user, or two users."""
    if message.user is None:
        return None
    if message.source is not None:
        return users_pair(message.source, message.user)
    return None if message.device is None else ("device", message.device, message.user)


def users_pair(first: str, second: str) -> Pair:
    """Return the pair of two users, whichever of them a link or unlink names first."""
    low, high = sorted((first, second))
    return ("users", low, high)


def strikes(messages: Iterable[Message]) -> dict[Pair, int]:
    """Return up to which event time the claims and links of each unlinked pair are struck."""
    result: dict[Pair, int] = {}
    for message in messages:
        pair = pair_of(message)
        if message.kind is Kind.UNLINK and pair is not None:
            result[pair] = max(message.event_time, result.get(pair, message.event_time))
    return result


def is_struck(message: Message, struck: Mapping[Pair, int]) -> bool:
    """Return whether a claim or link is dated up to an unlink of its pair."""
    pair = pair_of(message)
    return pair is not None and pair in struck and message.event_time <= struck[pair]
