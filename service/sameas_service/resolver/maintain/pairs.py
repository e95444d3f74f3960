"""The unlinks and links of a workspace, which decide how the rest of its ledger counts.

All of them are held in memory: they are few, and each can matter to any message.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sameas_service.domain.derive import links_of
from sameas_service.domain.kinds import Kind
from sameas_service.domain.links import canonical_users
from sameas_service.domain.message import Message, Position
from sameas_service.domain.unlinks import Pair, in_force, strikes
from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.maintain.external_sort import Row
from sameas_service.resolver.ports import Maintenance
from sameas_service.resolver.row_codec import message_of

KINDS = {int(kind): kind for kind in Kind}
"""The kinds by number."""


class Pairs(NamedTuple):
    """What the unlinks and links of a workspace say.

    Attributes:
        unlinks: the rows of the table `unlink`.
        links: the rows of the table `link`.
        struck: up to which event time each unlinked pair is struck, by surrogates as text.
        parted: the devices that are unlinked from a user.
        struck_links: the ids of the links that do not count.
        canonical: the canonical user of each linked one.
    """

    unlinks: Sequence[Row]
    links: Sequence[Row]
    struck: dict[Pair, int]
    parted: frozenset[int]
    struck_links: frozenset[str]
    canonical: dict[int, int]


def read_pairs(maintenance: Maintenance, workspace: Workspace) -> Pairs:
    """Read the unlinks and links of a workspace from its ledger."""
    named: list[Message] = []
    links: list[Message] = []
    for _, at, message_id, kind, _, user, source, *_, payload in maintenance.pairs(workspace):
        if source is None:
            named.append(_unlink(at, message_id, payload))
        else:
            links.append(as_message(kind, at, message_id, user=user, source=source))
    unlinks = list(_by_surrogate(named, maintenance, workspace))
    counted = list(links_of(in_force([*unlinks, *links])))
    return Pairs(
        sorted((m.message_id, m.device, m.user, m.source, m.event_time) for m in named),
        sorted((int(one.source), int(one.target), *one.position) for one in counted),
        strikes(unlinks),
        frozenset(int(m.device) for m in unlinks if m.device is not None),
        frozenset(m.message_id for m in links) - {one.position.message_id for one in counted},
        {int(user): int(now) for user, now in canonical_users(counted).items()},
    )


def as_message(
    kind: int,
    at: int,
    message_id: str,
    *,
    device: int | None = None,
    user: int | None = None,
    source: int | None = None,
) -> Message:
    """Return what the rules need of a message, with surrogates as text for its ids."""
    position = Position(at, message_id)
    return Message(KINDS[kind], position, 0, _text(device), _text(user), _text(source))


def _text(surrogate: int | None) -> str | None:
    return None if surrogate is None else str(surrogate)


def _unlink(at: int, message_id: str, payload: str) -> Message:
    unlink = int(Kind.UNLINK)
    return message_of(message_id, unlink, at, 0, None, None, None, "", payload, "", None, None)


def _by_surrogate(
    unlinks: list[Message], maintenance: Maintenance, workspace: Workspace
) -> Iterator[Message]:
    """Yield the unlinks with surrogates for names. One of an unused id strikes nothing."""
    if not unlinks:
        return
    wanted = {name for one in unlinks for name in (one.user, one.source)}
    users = _numbers(maintenance.names(workspace, "user"), wanted)
    wanted = {one.device for one in unlinks}
    devices = _numbers(maintenance.names(workspace, "device"), wanted)
    for one in unlinks:
        device, user, source = (devices[one.device], users[one.user], users[one.source])
        if user is not None and (device is not None or source is not None):
            yield one._replace(device=device, user=user, source=source)


def _numbers(
    names: Iterable[tuple[int, str]], wanted: set[str | None]
) -> dict[str | None, str | None]:
    """Return the surrogates of names as text; None for a name that is not there, and for None."""
    found = {name: str(number) for number, name in names if name in wanted}
    return dict.fromkeys(wanted) | found
