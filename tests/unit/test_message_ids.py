"""Ids of messages that came without one: UUIDv7s that strictly increase."""

import uuid
from concurrent.futures import ThreadPoolExecutor

from sameas_service.servicer.message_ids import MessageIds

NOW = 1_700_000_000_123_456
"""Microseconds since 1970."""


def test_an_id_is_a_uuid_of_version_7_with_the_time_of_receipt_in_it():
    made = uuid.UUID(MessageIds().next(NOW))

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == NOW // 1_000


def test_later_microseconds_give_greater_ids_also_as_text():
    ids = [MessageIds().next(NOW + step) for step in (0, 1, 2, 998, 1_000, 1_000_000)]

    assert sorted(ids) == ids


def test_ids_increase_while_the_clock_stands_still_or_is_set_back():
    ids = MessageIds()

    made = [ids.next(NOW), ids.next(NOW), ids.next(NOW - 10_000_000), ids.next(NOW)]

    assert sorted(set(made)) == made


def test_threads_share_one_without_two_equal_ids():
    ids = MessageIds()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ids.next(NOW), range(2_000)))

    assert len(set(made)) == 2_000


def test_two_servers_make_different_ids_of_one_time():
    assert MessageIds().next(NOW) != MessageIds().next(NOW)
