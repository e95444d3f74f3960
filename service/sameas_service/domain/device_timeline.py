"""A device's timeline, kept up to date one message at a time.

`advance` takes a message that comes after all others of its device: one look at the device's
state is enough, whatever the device has seen before. `place` takes one that arrives late: the
rows around it and two claims decide what changes, and nothing else does.
"""

from typing import NamedTuple

from sameas_service.domain.device import Cut, Device, Placed, Plan, Put, SpanRow
from sameas_service.domain.message import Position, after


def needs_ledger(device: Device, placed: Placed, session_gap: int) -> bool:
    """Return whether `advance` cannot take the message: it is late, or it needs a visit's
    start that a late arrival left unknown.
    """
    if device.last is None:
        return False
    if placed.position < device.last:
        return True
    return (
        not device.visit_known
        and placed.is_claim
        and device.owner not in (None, placed.user)
        and _apart(device.last, placed.position) <= session_gap
    )


def go_on(device: Device, position: Position, user: int | None, session_gap: int) -> bool:
    """Do what `advance` does with a message that changes only the last position and the visit,
    as nearly all do: in order, no reset, without a user or by the present owner.

    Returns:
        False for any other message; then nothing was done.
    """
    last = device.last
    if last is None or not device.segment <= last < position:
        return False
    if user is None:
        _visit(device, position, session_gap)
    elif user == device.owner:
        device.visit, device.visit_known = None, True
    else:
        return False
    device.last = position
    return True


def advance(device: Device, placed: Placed, session_gap: int) -> Put | None:
    """Move the device's state on by a message that does not need the ledger.

    Returns:
        The row to write, if any.
    """
    put: Put | None = None
    if placed.is_reset:
        put = _close(device, placed)
    elif placed.is_claim:
        put = _claim(device, placed, session_gap)
    else:
        _visit(device, placed.position, session_gap)
    device.last = placed.position
    return put


def _close(device: Device, placed: Placed) -> Put:
    device.segment = after(placed.position)
    device.owner, device.visit, device.visit_known = None, None, True
    return Put(device.segment, None, None)


def _claim(device: Device, placed: Placed, session_gap: int) -> Put | None:
    former, device.owner = device.owner, placed.user
    start = _visit_start(device, placed, session_gap)
    device.visit, device.visit_known = None, True
    if former is None:
        return Put(device.segment, placed.user, placed.position)
    if former == placed.user:
        return None
    return Put(start, placed.user, placed.position)


def _visit_start(device: Device, placed: Placed, session_gap: int) -> Position:
    near = device.last is not None and _apart(device.last, placed.position) <= session_gap
    if session_gap and near and device.visit is not None:
        return device.visit
    return placed.position


def _visit(device: Device, position: Position, session_gap: int) -> None:
    continues = (
        device.last is not None
        and (device.visit is not None or not device.visit_known)
        and _apart(device.last, position) <= session_gap
    )
    if not continues:
        device.visit, device.visit_known = position, True


def _apart(earlier: Position, later: Position) -> int:
    """Return the microseconds between two messages."""
    return later.at // 2 - earlier.at // 2


class Around(NamedTuple):
    """The runs of claims around a position in its segment.

    Attributes:
        head: the row that starts the segment; known only where `earlier` is None.
        earlier: the run that the last claim before the position belongs to, if any.
        later: the next run of the segment, if any.
        bound: where claims of `earlier` end at the latest; None for no bound.
    """

    head: SpanRow | None
    earlier: SpanRow | None
    later: SpanRow | None
    bound: Position | None

    @property
    def owners(self) -> list[int]:
        """The users who made the runs, the earlier one first."""
        runs = (self.earlier, self.later)
        return [row.owner for row in runs if row is not None and row.owner is not None]


def around(
    position: Position, before: SpanRow | None, at: SpanRow, after: SpanRow | None
) -> Around:
    """Sort the stored rows before, at and after a position into runs of claims.

    A row starts at its cut, but its run starts at its claim: a position between the two is
    before the run.
    """
    end = after.start if after else None
    if at.owner is None or at.claim is None:
        return Around(at, None, None, end)
    if position > at.claim:
        later = after if after and not after.opens_segment else None
        return Around(None, at, later, later.claim if later else end)
    if at.opens_segment:
        return Around(at, None, at, at.claim)
    return Around(None, before, at, at.claim)


def strike(
    row: SpanRow,
    before: SpanRow | None,
    after: SpanRow | None,
    survivor: Position | None,
    wall: Position,
) -> Plan:
    """Return what changes where claims that opened a row do not count any more.

    Args:
        row: the row, of the user who made the struck claims.
        before: the row before it, of whichever segment.
        after: the row after it, of whichever segment.
        survivor: the first claim of the row's run that still counts, if any.
        wall: the last claim of the row before it, where that is of the same segment.
    """
    later = after if after is not None and not after.opens_segment else None
    if row.opens_segment:
        return _strike_first(row, later, survivor)
    if survivor is not None:
        return Plan((row.start,), (Put(Cut(survivor, wall), row.owner, survivor),))
    if later is None or later.claim is None:
        return Plan((row.start,))
    if before is not None and later.owner == before.owner:
        return Plan((row.start, later.start))
    moved = Put(Cut(later.claim, wall), later.owner, later.claim)
    return Plan((row.start, later.start), (moved,))


def _strike_first(row: SpanRow, later: SpanRow | None, survivor: Position | None) -> Plan:
    """Pass the device's past to its next claimant, or leave it without an owner."""
    if survivor is not None:
        return Plan((), (Put(row.start, row.owner, survivor),))
    if later is None:
        return Plan((), (Put(row.start, None, None),))
    return Plan((later.start,), (Put(row.start, later.owner, later.claim),))


def place(
    placed: Placed,
    where: Around,
    claims: tuple[Position | None, Position | None],
    session_gap: int,
) -> Plan:
    """Return what a late message changes among the rows of its device.

    Args:
        placed: the message.
        where: the runs around it.
        claims: the last claim of `where.earlier` before it and the first after it, if any.
        session_gap: microseconds between neighbours of one visit.
    """
    if placed.is_reset:
        return _place_reset(placed, where, claims[1])
    if placed.is_claim:
        return _place_claim(placed, where, claims)
    return _place_visit(placed, where, claims, session_gap)


def _place_visit(
    placed: Placed,
    where: Around,
    claims: tuple[Position | None, Position | None],
    session_gap: int,
) -> Plan:
    """Place a message without a user, which can only lengthen the next claim's visit."""
    later, wall = where.later, claims[0]
    if where.earlier is None or later is None or wall is None or claims[1] is not None:
        return Plan()
    if placed.position > later.start or _apart(placed.position, later.start) > session_gap:
        return Plan()
    if session_gap == 0:
        return Plan()
    moved = Put(Cut(placed.position, wall), later.owner, later.claim)
    return Plan((later.start,), (moved,))


def _place_claim(
    placed: Placed, where: Around, claims: tuple[Position | None, Position | None]
) -> Plan:
    if where.earlier is None:
        return _place_first(placed, where)
    wall, follows = claims
    later = where.later
    if placed.user == where.earlier.owner:
        return _rewalk(placed, later) if follows is None else Plan()
    opened = Put(Cut(placed.position, wall or where.earlier.start), placed.user, placed.position)
    if follows is not None:
        again = Put(Cut(follows, placed.position), where.earlier.owner, follows)
        return Plan((), (opened, again))
    if later is not None and later.owner == placed.user:
        return Plan((later.start,), (opened,))
    rest = _rewalk(placed, later)
    return Plan(rest.delete, (*rest.put, opened))


def _place_first(placed: Placed, where: Around) -> Plan:
    """Place a claim before all others of its segment: it owns from the segment's start."""
    head, later = where.head, where.later
    assert head is not None, "a segment without an earlier run is known by its head"
    first = Put(head.start, placed.user, placed.position)
    if later is None or later.claim is None or later.owner == placed.user:
        return Plan((), (first,))
    return Plan((), (first, Put(Cut(later.claim, placed.position), later.owner, later.claim)))


def _rewalk(placed: Placed, later: SpanRow | None) -> Plan:
    """Cut the next run anew: a claim is a wall that its visit can no longer reach across."""
    if later is None or later.claim is None or later.start > placed.position:
        return Plan()
    again = Put(Cut(later.claim, placed.position), later.owner, later.claim)
    return Plan((later.start,), (again,))


def _place_reset(placed: Placed, where: Around, follows: Position | None) -> Plan:
    start = after(placed.position)
    if follows is not None and where.earlier is not None:
        return Plan((), (Put(start, where.earlier.owner, follows),))
    if where.later is None:
        return Plan((), (Put(start, None, None),))
    moved = Put(start, where.later.owner, where.later.claim)
    if where.earlier is not None:
        return Plan((where.later.start,), (moved,))
    return Plan((), (Put(where.later.start, None, None), moved))
