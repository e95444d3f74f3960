"""Who is let into a queue: bounds of weight and of waiting."""

import pytest

from sameas_service.resolver.deadline import QueueFull
from sameas_service.resolver.queue_limit import (
    WAITING_GROUPS_MAX,
    WAITING_SECONDS_MAX,
    QueueLimit,
)
from support.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> QueueLimit:
    return QueueLimit("persons", 10, clock)


def is_let_in(limit: QueueLimit, weight: int = 1) -> bool:
    try:
        limit.enter(weight)
    except QueueFull as full:
        return full.queue != "persons"
    return True


def test_a_queue_takes_so_many_groups_and_no_more(limit) -> None:
    for _ in range(WAITING_GROUPS_MAX):
        limit.enter(10)

    assert not is_let_in(limit)
    limit.leave(10, None)
    assert is_let_in(limit, 10)
    assert not is_let_in(limit)


def test_an_empty_queue_takes_any_weight(limit) -> None:
    assert is_let_in(limit, 10 * WAITING_GROUPS_MAX + 1)


def test_no_caller_is_let_in_while_the_first_waits_too_long(limit, clock) -> None:
    limit.enter(1)

    clock.now += WAITING_SECONDS_MAX
    assert is_let_in(limit)
    clock.now += 0.001
    assert not is_let_in(limit)


def test_time_in_which_no_caller_waited_does_not_count(limit, clock) -> None:
    limit.enter(1)
    limit.leave(1, None)

    clock.now += 100 * WAITING_SECONDS_MAX
    assert is_let_in(limit)
    assert is_let_in(limit)


def test_the_next_ones_time_counts_once_the_first_have_left(limit, clock) -> None:
    limit.enter(8)
    clock.now += WAITING_SECONDS_MAX / 2
    limit.enter(8)
    came = clock.now
    clock.now += WAITING_SECONDS_MAX
    assert not is_let_in(limit)

    limit.leave(8, came)

    assert is_let_in(limit)
    clock.now += 0.001
    assert not is_let_in(limit)


def test_those_without_a_bound_are_counted_and_let_in(limit, clock) -> None:
    limit.enter(9)
    assert not limit.has_a_full_group
    clock.now += 2 * WAITING_SECONDS_MAX

    limit.enter(1, bounded=False)

    assert limit.has_a_full_group
