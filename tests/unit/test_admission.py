"""Which calls are let in: bounds of calls and bytes; and what those hear that are not."""

import json
import math
import time

import pytest
from google.rpc import error_details_pb2, status_pb2

from sameas._channel import channel_options
from sameas_service.domain.errors import Reason, Refused
from sameas_service.resolver.deadline import WRITER, QueueFull, passed
from sameas_service.servicer import admission
from sameas_service.servicer.admission import Admission, end_of, trailers_of
from sameas_service.servicer.refusals import DETAILS, code_of
from support.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
        (Refused(Reason.HISTORY_TOO_LARGE, "too many messages"), False),
        (passed(), False),
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

    assert caught.value.reason is Reason.DEADLINE_PASSED


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


@pytest.mark.parametrize(
    "refused", [Refused(Reason.HISTORY_TOO_LARGE, "too many messages to derive it"), passed()]
)
def test_what_no_second_try_helps_is_not_to_be_tried_again(refused: Refused) -> None:
    """Its code is none that a client tries again, so that it needs no word about time."""
    trailers, status = details_in(refused)

    assert admission.PUSHBACK not in trailers
    assert len(status.details) == 1
    assert code_of(refused.reason).name not in retried_codes()


def retried_codes() -> list[str]:
    """What our own client tries again."""
    (method,) = json.loads(dict(channel_options())["grpc.service_config"])["methodConfig"]
    return method["retryPolicy"]["retryableStatusCodes"]


@pytest.mark.parametrize(
    "refused",
    [
        Refused(Reason.STORE_BUSY, "another program holds the database"),
        Refused(Reason.STORE_FAILED, "the store failed"),
        Refused(Reason.SERVER_STOPPING, "the server is stopping"),
        QueueFull(WRITER),
    ],
    ids=lambda refused: refused.reason.value,
)
def test_what_a_second_try_may_help_is_tried_again(refused: Refused) -> None:
    assert code_of(refused.reason).name in retried_codes()


def test_other_refusals_say_nothing_of_time() -> None:
    trailers, _ = details_in(Refused(Reason.ID_REQUIRED, "an id is needed"))

    assert admission.PUSHBACK not in trailers
