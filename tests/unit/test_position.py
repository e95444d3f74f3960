"""Where messages stand: by time, resets last, then by message id as bytes."""

import itertools

from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import START, Position, after, position_of

IDS = ["", "0", "A", "a", "a\u00e9", "a\uffff", "a\U00010000", "ab", "z", "é", "\ufb33", "😀"]


def test_time_comes_first() -> None:
    assert position_of(Kind.TRACK, 1, "z") < position_of(Kind.TRACK, 2, "a")
    assert position_of(Kind.RESET, 1, "z") < position_of(Kind.TRACK, 2, "a")


def test_of_one_time_a_reset_is_last_whatever_its_id() -> None:
    for kind in Kind:
        if kind is not Kind.RESET:
            assert position_of(kind, 1, "z") < position_of(Kind.RESET, 1, "a")


def test_of_one_time_ids_go_by_their_bytes() -> None:
    positions = sorted(position_of(Kind.TRACK, 1, one) for one in IDS)

    assert [p.message_id for p in positions] == sorted(IDS, key=lambda one: one.encode())


def test_the_event_time_is_given_back_even_before_1970(message) -> None:
    for minutes in (0, 1.5, -(10**9)):
        assert message(Kind.RESET, minutes).event_time == message(Kind.TRACK, minutes).event_time
    assert position_of(Kind.RESET, -7, "m").at // 2 == -7


def test_nothing_stands_between_a_message_and_behind_it() -> None:
    here = position_of(Kind.RESET, 1, "m")
    others = [position_of(kind, time, one) for kind, time, one in itertools.product(
        (Kind.TRACK, Kind.RESET), (0, 1, 2), [*IDS, "m", "m\u0020", "m0"])]  # fmt: skip

    assert here < after(here)
    assert not [other for other in others if here < other <= after(here)]


def test_everything_stands_behind_the_start() -> None:
    assert Position(-(2**61), "") > START
