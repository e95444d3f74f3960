"""The store, whatever the order, batching and restarts, gives what `derive` gives."""

import pytest
from hypothesis import HealthCheck, given, settings

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.times import EARLIEST, SECOND
from support.deliveries import EXAMPLES, deliver, deliveries
from support.stored import filled_with, fresh_workspace
from support.worlds import expected_dump


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(deliveries())
def test_any_delivery_gives_what_the_model_gives(place, delivery) -> None:
    history, batches, restarts, gap = delivery
    rules = fresh_workspace(Rules(session_gap=gap))

    dumped = deliver(place, rules, batches, restarts)

    assert dumped == expected_dump(history, rules)


def said(number: int, kind: Kind, minute: int, text: str = "", **ids: str) -> Message:
    """A message of a minute of the story below."""
    time = EARLIEST + minute * 60 * SECOND
    return accept(
        Call(kind, f"a{number}", time, payload=text, client_time=time, imported=True, **ids)
    )


STORY = [
    said(0, Kind.PROFILE, 0, '{"set":{"plan":1},"increment":{"n":1}}', anonymous_id="d"),
    said(1, Kind.PROFILE, 1, '{"set":{"plan":2},"append":{"l":1}}', user_id="u"),
    said(2, Kind.IDENTIFY, 10, "{}", anonymous_id="d", user_id="u"),
    said(3, Kind.PROFILE, 5, '{"increment":{"n":2}}', anonymous_id="d"),
    said(4, Kind.RESET, 20, anonymous_id="d"),
    said(5, Kind.PROFILE, 21, '{"append":{"l":2}}', anonymous_id="d"),
    said(6, Kind.IDENTIFY, 22, '{"l":[9]}', anonymous_id="d", user_id="v"),
    said(7, Kind.UNLINK, 30, anonymous_id="d", user_id="u"),
    said(8, Kind.UNLINK, 31, anonymous_id="d", user_id="v"),
]
"""What a device says of traits goes to who signs in, and comes back when that is taken back."""


@pytest.mark.parametrize("end", range(1, len(STORY) + 1))
@pytest.mark.parametrize("size", [1, 2, 3, len(STORY)])
def test_traits_go_with_a_device_and_come_back(place, size: int, end: int) -> None:
    history = STORY[:end]
    batches = [history[at : at + size] for at in range(0, end, size)]
    rules = fresh_workspace(Rules())

    assert filled_with(place, batches, rules).dump() == expected_dump(history, rules)
