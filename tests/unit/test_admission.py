"""Who is let in: bounds of calls, bytes, weight and waiting; and what those hear who are not."""

import math
import time

import pytest
from google.rpc import error_details_pb2, status_pb2

from sameas_service.domain.errors import Reason, Refused
from sameas_service.resolver.waiting import WRITER, QueueFull
from sameas_service.servicer import admission
from sameas_service.servicer.admission import Admission, end_of, trailers_of
from sameas_service.servicer.refusals import DETAILS
from sameas_service.store.sqlite.room import WAITING_GROUPS_MAX, WAITING_SECONDS_MAX, Room


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(clock: Clock) -> Room:
    return Room("persons", 10, clock)


def is_let_in(room: Room, weight: int = 1) -> bool:
    try:
        room.enter(weight)
    except QueueFull as full:
        return full.queue != "persons"
    return True


# The queue of one thread


def test_a_queue_takes_so_many_groups_and_no_more(room) -> None:
    for _ in range(WAITING_GROUPS_MAX):
        room.enter(10)

    assert not is_let_in(room)
    room.leave(10, None)
    assert is_let_in(room, 10)
    assert not is_let_in(room)


def test_an_empty_queue_takes_any_weight(room) -> None:
    assert is_let_in(room, 10 * WAITING_GROUPS_MAX + 1)


def test_nobody_is_let_in_while_the_first_waits_too_long(room, clock) -> None:
    room.enter(1)

    clock.now += WAITING_SECONDS_MAX
    assert is_let_in(room)
    clock.now += 0.001
    assert not is_let_in(room)


def test_time_in_which_nobody_waited_does_not_count(room, clock) -> None:
    room.enter(1)
    room.leave(1, None)

    clock.now += 100 * WAITING_SECONDS_MAX
    assert is_let_in(room)
    assert is_let_in(room)


def test_the_next_ones_time_counts_once_the_first_have_left(room, clock) -> None:
    room.enter(8)
    clock.now += WAITING_SECONDS_MAX / 2
    room.enter(8)
    came = clock.now
    clock.now += WAITING_SECONDS_MAX
    assert not is_let_in(room)

    room.leave(8, came)

    assert is_let_in(room)
    clock.now += 0.001
    assert not is_let_in(room)


def test_those_without_a_bound_are_counted_and_let_in(room, clock) -> None:
    room.enter(9)
    assert not room.has_a_full_group
    clock.now += 2 * WAITING_SECONDS_MAX

    room.enter(1, bounded=False)

    assert room.has_a_full_group


# The calls of one service


def test_only_so_many_calls_are_under_way(clock) -> None:
    calls = Admission(clock)
    for _ in range(admission.CALLS_MAX):
        assert calls.has_room(1)
        calls.enter(1)

    assert not calls.has_room(1)
    calls.leave(1)
    assert calls.has_room(1)


def test_only_so_many_bytes_are_under_way(clock) -> None:
    calls = Admission(clock)
    calls.enter(admission.BYTES_MAX - 10)

    assert calls.has_room(10)
    assert not calls.has_room(11)
    calls.leave(admission.BYTES_MAX - 10)
    assert calls.has_room(11)


@pytest.mark.parametrize(
    ("error", "shuts"),
    [
        (QueueFull(WRITER), True),
        (QueueFull("past"), False),
        (Refused(Reason.OVERLOADED, "too many messages"), False),
        (ValueError("a fault"), False),
    ],
)
def test_the_next_are_refused_unread_only_where_the_queue_of_writes_was_full(
    clock, error, shuts
) -> None:
    calls = Admission(clock)

    calls.learn(error)

    assert calls.has_room(1) is not shuts
    clock.now += admission.SHUT_SECONDS
    assert calls.has_room(1)


def test_a_caller_waits_for_as_long_as_it_says() -> None:
    assert end_of(None) == math.inf
    assert end_of(5.0) - time.monotonic() == pytest.approx(5.0, abs=0.5)
    with pytest.raises(Refused) as caught:
        end_of(0.0)

    assert caught.value.reason is Reason.OVERLOADED


# What the refused hear


def details_in(refused: Refused) -> tuple[dict, status_pb2.Status]:
    trailers = dict(trailers_of(refused))
    return trailers, status_pb2.Status.FromString(trailers[DETAILS])


def test_a_full_queue_says_when_to_come_again_in_both_ways() -> None:
    trailers, status = details_in(QueueFull(WRITER))

    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert len(status.details) == 2
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain, info.metadata["queue"]) == ("OVERLOADED", "sameas", WRITER)
    milliseconds = int(trailers[admission.PUSHBACK])
    assert retry.retry_delay.ToMilliseconds() == milliseconds
    first, last = admission.PUSHBACK_SECONDS
    assert first <= milliseconds / 1e3 <= last


def test_those_refused_together_are_not_told_to_return_together() -> None:
    told = {trailers_of(QueueFull(WRITER))[0] for _ in range(200)}

    assert len(told) > 10


def test_what_is_too_much_in_itself_is_not_to_be_tried_again() -> None:
    trailers, _ = details_in(Refused(Reason.OVERLOADED, "too many messages to derive it"))

    assert trailers[admission.PUSHBACK] == "-1"


def test_other_refusals_say_nothing_of_time() -> None:
    trailers, _ = details_in(Refused(Reason.ID_REQUIRED, "an id is needed"))

    assert admission.PUSHBACK not in trailers
