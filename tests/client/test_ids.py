import os
import re
import threading
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sameas.clock import Clock, from_micros, to_micros
from sameas.ids import MessageIds, new_anonymous_id, new_message_id

UUID_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
readings = st.lists(st.integers(0, 2**62), min_size=1, max_size=50)


def in_turn(values):
    iterator = iter(values)
    return lambda: next(iterator)


def from_threads(make, each=2_000):
    made: list[list] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(make() for _ in range(each)))
        for mine in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def test_a_message_id_is_a_uuid_version_7_of_36_characters():
    assert UUID_7.fullmatch(new_message_id())


def test_a_message_id_starts_with_the_milliseconds_of_its_making():
    millis = 1_700_000_000_123
    made = MessageIds(time_ns=lambda: millis * 1_000_000).next()

    assert int(made.replace("-", "")[:12], 16) == millis


@given(readings)
def test_message_ids_strictly_increase_whatever_the_machines_clock_does(times):
    ids = MessageIds(time_ns=in_turn(times))

    made = [ids.next() for _ in times]

    assert all(a < b for a, b in pairwise(made))
    assert all(UUID_7.fullmatch(each) for each in made)


def test_message_ids_increase_within_a_millisecond_even_from_the_largest_random_tail():
    ids = MessageIds(time_ns=lambda: 5_000_000, random_bytes=lambda n: b"\xff" * n)

    made = [ids.next() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert {each[:13] for each in made} == {"00000000-0005"}


def test_threads_never_make_the_same_message_id():
    made = from_threads(new_message_id)

    assert len({each for mine in made for each in mine}) == 8_000
    assert all(mine == sorted(mine) for mine in made)


def test_a_forked_child_makes_other_ids_than_its_parent_and_greater_ones():
    ids = MessageIds(time_ns=lambda: 1_000_000)
    before = ids.next()
    tail = ids._tail

    ids.after_fork()

    assert ids.next() > before
    assert ids._tail not in (tail, tail + 1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_processs_ids_part_at_a_real_fork():
    new_message_id()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, new_message_id().encode())
        os._exit(0)
    mine = new_message_id()
    os.waitpid(child, 0)

    assert os.read(reader, 36).decode() != mine
    os.close(reader)
    os.close(writer)


def test_an_anonymous_id_has_36_random_characters():
    made = {new_anonymous_id() for _ in range(1_000)}

    assert len(made) == 1_000
    assert {len(each) for each in made} == {36}


@given(readings)
def test_the_clock_strictly_increases_whatever_the_machines_clock_does(times):
    clock = Clock(time_ns=in_turn(times))

    read = [clock.micros() for _ in times]

    assert all(a < b for a, b in pairwise(read))


def test_the_clock_follows_the_machines_clock_when_that_goes_forward():
    clock = Clock(time_ns=in_turn([5_000, 9_000_000]))

    assert [clock.micros(), clock.micros()] == [5, 9_000]


def test_threads_never_read_the_same_time():
    clock = Clock()

    read = from_threads(clock.micros)

    assert len({each for mine in read for each in mine}) == 8_000


@given(st.datetimes(timezones=st.just(UTC)))
def test_datetimes_become_microseconds_and_back_without_loss(moment):
    assert from_micros(to_micros(moment)) == moment


def test_a_datetime_of_another_time_zone_is_the_same_moment():
    zone = timezone(timedelta(hours=2))

    assert to_micros(datetime(1970, 1, 1, 2, 0, 1, tzinfo=zone)) == 1_000_000
