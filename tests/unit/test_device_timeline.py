"""A device's rows, changed one message at a time: small examples of each change.

That they add up to the rule for any history is what the property tests show.
"""

import pytest

from sameas_service.domain.device import Cut, Device, Placed, Plan, Put, SpanRow
from sameas_service.domain.device_timeline import (
    Around,
    advance,
    around,
    needs_ledger,
    place,
    strike,
)
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Position, after, position_of

MINUTE = 60_000_000
GAP = 30 * MINUTE
U, V, W = 1, 2, 3


def at(minutes: float, message_id: str = "m") -> Position:
    return position_of(Kind.TRACK, round(minutes * MINUTE), message_id)


def view(minutes: float) -> Placed:
    return Placed(at(minutes), None, is_reset=False)


def claim(minutes: float, user: int) -> Placed:
    return Placed(at(minutes), user, is_reset=False)


def reset(minutes: float, user: int | None = None) -> Placed:
    return Placed(position_of(Kind.RESET, round(minutes * MINUTE), "r"), user, is_reset=True)


def puts(*messages: Placed, gap: int = GAP) -> list[Put | None]:
    """What is written as messages arrive in order at a new device."""
    device = Device(7, "d")
    written = []
    for one in messages:
        assert not needs_ledger(device, one, gap)
        written.append(advance(device, one, gap))
        assert device.last == one.position
    return written


# ---- In order ------------------------------------------------------------------------------


def test_messages_without_a_user_write_nothing() -> None:
    assert puts(view(1), view(2), view(99)) == [None] * 3


def test_the_first_claim_is_written_from_the_segments_start_and_the_next_not_at_all() -> None:
    assert puts(view(1), claim(2, U), claim(3, U)) == [None, Put(START, U, at(2)), None]


@pytest.mark.parametrize(
    ("messages", "start"),
    [
        ([view(60), claim(80, V)], at(60)),
        ([view(60), view(90), claim(120, V)], at(60)),
        ([view(60), view(91), claim(92, V)], at(91)),
        ([view(60), claim(91, V)], at(91)),
        ([view(60), claim(90, V)], at(60)),
        ([view(60), claim(90 + 1 / MINUTE, V)], at(90 + 1 / MINUTE)),
        ([view(5), claim(6, V)], at(5)),
        ([claim(1, V)], at(1)),
        ([view(5), claim(6, U), claim(7, V)], at(7)),
    ],
)
def test_a_switch_is_written_from_the_start_of_the_visit(messages, start: Position) -> None:
    *_, last = puts(claim(0, U), *messages)

    assert last == Put(start, V, messages[-1].position)


def test_with_a_gap_of_zero_a_switch_is_written_from_the_claim() -> None:
    assert puts(claim(0, U), view(60), claim(60.0, V), gap=0)[-1] == Put(at(60), V, at(60))


def test_a_reset_opens_a_segment_of_nobodys_whoever_it_names() -> None:
    behind = after(reset(2, V).position)

    assert puts(claim(0, U), reset(2, V), view(3), claim(500, U)) == [
        Put(START, U, at(0)),
        Put(behind, None, None),
        None,
        Put(behind, U, at(500)),
    ]


def test_a_device_tells_whether_its_segment_has_a_message() -> None:
    device = Device(7, "d")
    assert device.segment_is_new

    advance(device, view(1), GAP)
    assert not device.segment_is_new

    advance(device, reset(2), GAP)
    assert device.segment_is_new


@pytest.mark.parametrize(
    ("device", "placed", "needs"),
    [
        (Device(7, "d"), view(0), False),
        (Device(7, "d", last=at(1)), view(2), False),
        (Device(7, "d", last=at(1)), view(0), True),
        (Device(7, "d", last=at(1), owner=U, visit_known=False), claim(2, V), True),
        (Device(7, "d", last=at(1), owner=U, visit_known=False), claim(2, U), False),
        (Device(7, "d", last=at(1), owner=U, visit_known=False), claim(99, V), False),
        (Device(7, "d", last=at(1), owner=None, visit_known=False), claim(2, V), False),
        (Device(7, "d", last=at(1), owner=U, visit_known=False), view(2), False),
    ],
)
def test_the_ledger_is_needed_for_what_is_late_and_for_a_visit_not_known(
    device: Device, placed: Placed, needs: bool
) -> None:
    assert needs_ledger(device, placed, GAP) is needs


# ---- Late ----------------------------------------------------------------------------------

HEAD = SpanRow(START)
OWNED = SpanRow(START, U, at(10))
SECOND = SpanRow(at(55), V, at(60))
BEHIND_RESET = SpanRow(after(reset(100).position), W, at(110))


@pytest.mark.parametrize(
    ("position", "rows", "found"),
    [
        (at(5), (None, HEAD, None), Around(HEAD, None, None, None)),
        (at(5), (None, HEAD, BEHIND_RESET), Around(HEAD, None, None, BEHIND_RESET.start)),
        (at(5), (None, OWNED, SECOND), Around(OWNED, None, OWNED, at(10))),
        (at(20), (None, OWNED, SECOND), Around(None, OWNED, SECOND, at(60))),
        (at(20), (None, OWNED, None), Around(None, OWNED, None, None)),
        (at(20), (None, OWNED, BEHIND_RESET), Around(None, OWNED, None, BEHIND_RESET.start)),
        (at(57), (OWNED, SECOND, None), Around(None, OWNED, SECOND, at(60))),
        (at(70), (OWNED, SECOND, BEHIND_RESET), Around(None, SECOND, None, BEHIND_RESET.start)),
    ],
)
def test_a_position_stands_between_runs_of_claims(position, rows, found: Around) -> None:
    assert around(position, *rows) == found


def test_the_owners_around_are_those_of_the_runs() -> None:
    assert Around(None, OWNED, SECOND, None).owners == [U, V]
    assert Around(HEAD, None, None, None).owners == []


@pytest.mark.parametrize(
    ("placed", "where", "claims", "plan"),
    [
        # A claim into a segment of nobody's takes it from its start.
        (claim(5, U), Around(HEAD, None, None, None), (None, None),
         Plan((), (Put(START, U, at(5)),))),
        # Before the owner's first claim: the owner's own opens nothing new, another's does.
        (claim(5, U), Around(OWNED, None, OWNED, at(10)), (None, at(10)),
         Plan((), (Put(START, U, at(5)),))),
        (claim(5, V), Around(OWNED, None, OWNED, at(10)), (None, at(10)),
         Plan((), (Put(START, V, at(5)), Put(Cut(at(10), at(5)), U, at(10))))),
        # Between claims of one owner, another's splits their run.
        (claim(20, V), Around(None, OWNED, None, None), (at(10), at(30)),
         Plan((), (Put(Cut(at(20), at(10)), V, at(20)), Put(Cut(at(30), at(20)), U, at(30))))),
        # Behind the owner's last claim: the next run is one with it, or begins behind it.
        (claim(50, V), Around(None, OWNED, SECOND, at(60)), (at(10), None),
         Plan((SECOND.start,), (Put(Cut(at(50), at(10)), V, at(50)),))),
        (claim(57, W), Around(None, OWNED, SECOND, at(60)), (at(10), None),
         Plan((SECOND.start,),
              (Put(Cut(at(60), at(57)), V, at(60)), Put(Cut(at(57), at(10)), W, at(57))))),
        # The owner's own claim is a wall to the visit that reached across it, or nothing.
        (claim(57, U), Around(None, OWNED, SECOND, at(60)), (at(10), None),
         Plan((SECOND.start,), (Put(Cut(at(60), at(57)), V, at(60)),))),
        (claim(50, U), Around(None, OWNED, SECOND, at(60)), (at(10), None), Plan()),
        (claim(20, U), Around(None, OWNED, None, None), (at(10), at(30)), Plan()),
        # A message without a user may lengthen the next visit, if it is near enough.
        (view(50), Around(None, OWNED, SECOND, at(60)), (at(10), None),
         Plan((SECOND.start,), (Put(Cut(at(50), at(10)), V, at(60)),))),
        (view(25), Around(None, OWNED, SECOND, at(60)), (at(10), None),
         Plan((SECOND.start,), (Put(Cut(at(25), at(10)), V, at(60)),))),
        (view(24.9), Around(None, OWNED, SECOND, at(60)), (at(10), None), Plan()),
        (view(57), Around(None, OWNED, SECOND, at(60)), (at(10), None), Plan()),
        (view(50), Around(None, OWNED, SECOND, at(60)), (at(10), at(52)), Plan()),
        (view(5), Around(OWNED, None, OWNED, at(10)), (None, at(10)), Plan()),
        (view(50), Around(None, OWNED, None, None), (at(10), None), Plan()),
    ],
)  # fmt: skip
def test_a_late_message_changes_its_own_span_and_the_next(placed, where, claims, plan) -> None:
    assert place(placed, where, claims, GAP) == plan


BEHIND = after(reset(20).position)


@pytest.mark.parametrize(
    ("where", "follows", "plan"),
    [
        # Nobody's segment becomes two.
        (Around(HEAD, None, None, None), None, Plan((), (Put(BEHIND, None, None),))),
        # The owner's later claims own what is behind it; without any it is nobody's.
        (Around(None, OWNED, None, None), at(30), Plan((), (Put(BEHIND, U, at(30)),))),
        (Around(None, OWNED, None, None), None, Plan((), (Put(BEHIND, None, None),))),
        # The next run owns from the reset on, and the visit before it is nobody's or the owner's.
        (Around(None, OWNED, SECOND, at(60)), None,
         Plan((SECOND.start,), (Put(BEHIND, V, at(60)),))),
        (Around(OWNED, None, OWNED, at(30)), at(30),
         Plan((), (Put(START, None, None), Put(BEHIND, U, at(10))))),
    ],
)  # fmt: skip
def test_a_late_reset_parts_a_segment(where, follows, plan) -> None:
    assert place(reset(20), where, (at(10), follows), GAP) == plan


def test_with_a_gap_of_zero_a_late_message_lengthens_no_visit() -> None:
    assert place(
        view(55), Around(None, OWNED, SpanRow(at(55), V, at(55)), None), (at(10), None), 0
    ) == (Plan())


# ---- Struck --------------------------------------------------------------------------------

THIRD = SpanRow(at(80), W, at(90))
BACK = SpanRow(at(80), U, at(90))


@pytest.mark.parametrize(
    ("row", "before", "behind", "survivor", "plan"),
    [
        # The first of a segment: a claim that still counts, the next claimant, or nobody.
        (OWNED, None, SECOND, at(40), Plan((), (Put(START, U, at(40)),))),
        (OWNED, None, SECOND, None, Plan((SECOND.start,), (Put(START, V, at(60)),))),
        (OWNED, None, None, None, Plan((), (Put(START, None, None),))),
        (OWNED, None, BEHIND_RESET, None, Plan((), (Put(START, None, None),))),
        # A later one: what is left of it, or the next visit, which may now reach further back.
        (SECOND, OWNED, THIRD, at(70), Plan((at(55),), (Put(Cut(at(70), at(10)), V, at(70)),))),
        (
            SECOND,
            OWNED,
            THIRD,
            None,
            Plan((at(55), at(80)), (Put(Cut(at(90), at(10)), W, at(90)),)),
        ),
        (SECOND, OWNED, BACK, None, Plan((at(55), at(80)))),
        (SECOND, OWNED, None, None, Plan((at(55),))),
        (SECOND, OWNED, BEHIND_RESET, None, Plan((at(55),))),
    ],
)
def test_a_struck_row_passes_to_whom_it_would_have_been(
    row, before, behind, survivor, plan
) -> None:
    assert strike(row, before, behind, survivor, at(10)) == plan
