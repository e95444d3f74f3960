"""When a message happened, by whose clock."""

import pytest

from sameas_service.domain.errors import Reason
from sameas_service.domain.times import (
    CLOCK_TOLERANCE,
    EARLIEST,
    LATEST,
    SECOND,
    check_time,
    event_time,
    final_time,
)

NOW = 1_700_000_000 * SECOND
HOUR = 3_600 * SECOND


def test_without_a_client_time_it_is_the_time_of_receipt() -> None:
    assert event_time(None, None, NOW) == (NOW, False)
    assert event_time(None, NOW - HOUR, NOW) == (NOW, False)


def test_without_sent_at_the_client_is_believed() -> None:
    assert event_time(NOW - HOUR, None, NOW) == (NOW - HOUR, False)


@pytest.mark.parametrize("behind", [0, 1, CLOCK_TOLERANCE, -CLOCK_TOLERANCE])
def test_a_clock_within_a_minute_is_not_corrected(behind: int) -> None:
    assert event_time(NOW - HOUR, NOW - behind, NOW) == (NOW - HOUR, False)


@pytest.mark.parametrize("behind", [CLOCK_TOLERANCE + 1, -CLOCK_TOLERANCE - 1, 24 * HOUR])
def test_a_clock_beyond_a_minute_is_corrected_by_the_difference(behind: int) -> None:
    assert event_time(NOW - behind - 7, NOW - behind, NOW) == (NOW - 7, False)


def test_a_time_up_to_a_minute_ahead_stays() -> None:
    assert event_time(NOW + CLOCK_TOLERANCE, None, NOW) == (NOW + CLOCK_TOLERANCE, False)


def test_a_time_more_than_a_minute_ahead_becomes_the_time_of_receipt() -> None:
    assert event_time(NOW + CLOCK_TOLERANCE + 1, None, NOW) == (NOW, True)


def test_a_time_that_is_ahead_only_by_a_wrong_clock_is_corrected_and_not_cut_off() -> None:
    assert event_time(NOW + HOUR - 7, NOW + HOUR, NOW) == (NOW - 7, False)


def test_a_time_ahead_of_its_own_sending_is_cut_off_after_correction() -> None:
    assert event_time(NOW + 3 * HOUR, NOW + HOUR, NOW) == (NOW, True)


@pytest.mark.parametrize("time", [EARLIEST - 1, 0, -1, LATEST])
def test_a_time_before_2000_or_after_9999_is_refused(why, time: int) -> None:
    assert why(check_time, time, "start_time") == (Reason.TIMESTAMP_INVALID, "start_time")


@pytest.mark.parametrize("time", [EARLIEST, NOW, LATEST - 1])
def test_a_time_from_2000_to_9999_is_taken(time: int) -> None:
    assert check_time(time) == time


def test_a_live_time_before_2000_is_refused_and_one_corrected_to_later_is_not(why) -> None:
    assert why(event_time, 0, None, NOW) == (Reason.TIMESTAMP_INVALID, "timestamp")
    assert event_time(0, 7, NOW) == (NOW - 7, False)


def test_an_imported_time_is_final_however_far_ahead() -> None:
    assert final_time(NOW + 24 * HOUR, NOW) == NOW + 24 * HOUR
    assert final_time(None, NOW) == NOW


def test_an_imported_time_before_2000_is_refused_too(why) -> None:
    assert why(final_time, EARLIEST - 1, NOW) == (Reason.TIMESTAMP_INVALID, "timestamp")
