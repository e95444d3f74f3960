"""What messages count towards a group: by their number, and large ones by their size too."""

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.kinds import Kind
from sameas_service.domain.limits import PAYLOAD_BYTES_MAX
from sameas_service.domain.message import Message
from sameas_service.domain.times import EARLIEST
from sameas_service.resolver.resolver import GROUP_MESSAGES_MAX, weight_of


def tracked(text: str) -> Message:
    return accept(Call(Kind.TRACK, "m", EARLIEST, user_id="u", event="e", payload=text))


def test_small_messages_count_one_each():
    assert weight_of([tracked(""), tracked('{"a":1}')]) == 2


def test_a_group_of_the_largest_messages_ends_below_16_mib():
    large = tracked('{"a":"' + "x" * (PAYLOAD_BYTES_MAX - 10) + '"}')

    count = -(-GROUP_MESSAGES_MAX // weight_of([large]))

    assert count * len(large.payload) < 16 * 1024 * 1024
