"""Which user ids are one person, by explicit links alone."""

from collections.abc import Iterable
from typing import NamedTuple

from sameas_service.domain.message import Position


class Link(NamedTuple):
    """A statement that `source` joins the person of `target`."""

    position: Position
    source: str
    target: str


def canonical_users(links: Iterable[Link]) -> dict[str, str]:
    """Return each linked user id, and the canonical one of its person.

    Links are folded in order of position: the source's person joins the target's, and the
    target's canonical user stays. Within one person nothing changes.
    """
    canonical: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for link in sorted(links):
        joining = canonical.setdefault(link.source, link.source)
        staying = canonical.setdefault(link.target, link.target)
        members.setdefault(joining, [joining])
        members.setdefault(staying, [staying])
        if joining == staying:
            continue
        for user in members[joining]:
            canonical[user] = staying
        members[staying] += members.pop(joining)
    return canonical
