"""Whose a device was when: segments, spans and the cut at the start of a visit."""

import pytest

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, after
from sameas_service.domain.ownership import (
    SESSION_GAP_DEFAULT,
    DeviceFold,
    Segment,
    segments,
    span_at,
    spans,
)

GAP = SESSION_GAP_DEFAULT
MICROSECOND = 1 / 60_000_000
"""In minutes."""


@pytest.fixture
def told(message):
    """The messages of a device from a table: (minutes, what, user)."""
    kinds = {"view": Kind.PAGE, "claim": Kind.IDENTIFY, "track": Kind.TRACK, "reset": Kind.RESET}

    def tell(*rows):
        return [message(kinds[what], at, "d", *user) for at, what, *user in rows]

    return tell


def owned(messages, gap: int = GAP) -> list[tuple[str, int]]:
    """The owner of each span, and the number of the message that it starts at."""
    (segment,) = segments("d", messages)
    positions = [START if n == 0 else m.position for n, m in enumerate(messages)]
    return [(span.owner, positions.index(span.start)) for span in spans(segment, gap)]


# ---- Segments ------------------------------------------------------------------------------


def test_a_device_without_a_reset_is_one_segment_from_the_start(told) -> None:
    messages = told((2, "view"), (1, "view"))

    assert segments("d", messages) == [Segment("d", START, messages[::-1])]
    assert segments("d", []) == []


def test_a_reset_is_the_last_of_its_segment_and_the_next_starts_behind_it(told) -> None:
    before, reset, behind = messages = told((1, "view"), (2, "reset"), (3, "view"))

    first, second = segments("d", messages)

    assert (first.start, first.messages) == (START, [before, reset])
    assert (second.start, second.messages) == (after(reset.position), [behind])


def test_a_message_of_a_resets_very_time_stands_before_it(told) -> None:
    reset, view = told((1, "reset"), (1, "view"))

    (only,) = segments("d", [reset, view])

    assert only.messages == [view, reset]


def test_resets_in_a_row_are_segments_of_their_own(told) -> None:
    messages = told((1, "reset"), (2, "reset"))

    assert [segment.messages for segment in segments("d", messages)] == [[m] for m in messages]


# ---- Spans ---------------------------------------------------------------------------------


def test_without_a_claim_nobody_owns_it(told) -> None:
    assert owned(told((1, "view"), (2, "view"))) == []


def test_the_first_claim_owns_from_the_segments_start_however_long_ago(told) -> None:
    assert owned(told((1, "view"), (100_000, "claim", "u"))) == [("u", 0)]


def test_further_claims_of_the_owner_open_nothing(told) -> None:
    messages = told((1, "claim", "u"), (2, "view"), (3, "track", "u"), (4, "claim", "u"))

    assert owned(messages) == [("u", 0)]


def test_a_reset_that_names_a_user_claims_nothing(told) -> None:
    assert owned(told((1, "view"), (2, "reset", "u"))) == []


def test_a_claim_by_another_opens_a_span_and_the_former_user_may_come_back(told) -> None:
    messages = told((0, "claim", "u"), (60, "claim", "v"), (120, "claim", "u"))

    assert owned(messages) == [("u", 0), ("v", 1), ("u", 2)]


def test_the_owner_of_a_position_is_that_of_the_last_span_before_it(told) -> None:
    messages = told((0, "view"), (1, "claim", "u"), (60, "view"), (61, "claim", "v"), (62, "view"))
    (segment,) = segments("d", messages)
    found = spans(segment, GAP)

    assert [span_at(found, m.position).owner for m in messages] == ["u", "u", "v", "v", "v"]
    assert span_at([], messages[0].position) is None


# ---- The cut -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "start"),
    [
        # What was done within the gap before signing in is the newcomer's.
        ([(0, "claim", "u"), (60, "view"), (70, "view"), (80, "claim", "v")], 1),
        # Neighbours are compared, not the whole: a visit may be long.
        ([(0, "claim", "u"), (60, "view"), (90, "view"), (120, "view"), (150, "claim", "v")], 1),
        # A pause beyond the gap begins the visit, wherever it is.
        ([(0, "claim", "u"), (60, "view"), (91, "view"), (92, "claim", "v")], 2),
        ([(0, "claim", "u"), (60, "view"), (91, "claim", "v")], 2),
        # A message that names a user ends the walk, even within the gap.
        ([(0, "claim", "u"), (1, "view"), (2, "claim", "v")], 1),
        ([(0, "claim", "u"), (1, "claim", "v")], 1),
        ([(0, "claim", "u"), (1, "track", "u"), (2, "view"), (3, "claim", "v")], 2),
    ],
)
def test_a_span_starts_with_the_newcomers_visit(told, rows, start: int) -> None:
    assert owned(told(*rows)) == [("u", 0), ("v", start)]


def test_a_pause_of_exactly_the_gap_is_within_the_visit(told) -> None:
    at, beyond = 60 + 30, 60 + 30 + MICROSECOND

    assert owned(told((0, "claim", "u"), (60, "view"), (at, "claim", "v")))[1] == ("v", 1)
    assert owned(told((0, "claim", "u"), (60, "view"), (beyond, "claim", "v")))[1] == ("v", 2)


def test_a_gap_of_zero_cuts_at_the_claim_even_for_messages_of_the_same_time(told) -> None:
    messages = told((0, "claim", "u"), (60, "view"), (60, "claim", "v"))

    assert owned(messages, gap=0) == [("u", 0), ("v", 2)]
    assert owned(messages, gap=1) == [("u", 0), ("v", 1)]


def test_a_visit_does_not_go_back_beyond_the_segments_start(told) -> None:
    before, reset, view, claim = told((0, "view"), (1, "reset"), (2, "view"), (3, "claim", "v"))
    fold = DeviceFold("d", GAP)
    for message in (before, reset, view):
        fold.take(*message.position, message.user, is_reset=message.kind is Kind.RESET)

    _, second = segments("d", [before, reset, view, claim])

    assert fold.visit == view.position
    assert spans(second, GAP)[0].start == second.start


def test_a_segment_after_a_reset_is_owned_from_its_start_whatever_the_gap(told) -> None:
    messages = told((0, "claim", "u"), (1, "reset"), (500, "view"), (900, "claim", "u"))

    first, second = segments("d", messages)

    assert [span.start for span in spans(second, GAP)] == [second.start]
    assert [span.owner for span in spans(first, GAP)] == ["u"]
