"""As of a time: what `derive` gives of the messages received up to then; and now, what is live."""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sameas_service.domain.derive import Rules, derive
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, Position
from sameas_service.resolver.facts import Filter, PersonKey
from sameas_service.resolver.read.timeline import PageQuery
from support.deliveries import deliveries
from support.histories import T0
from support.pasts import all_keys, as_fields, expected_view, person_id_of, received
from support.stored import filled_with, fresh_workspace

EXAMPLES = int(os.environ.get("SAMEAS_TEST_EXAMPLES", "300"))
ALWAYS = T0 + 10**15
EVERY = Filter()
every_message = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)


def timeline(held, key: PersonKey, as_of: int, size: int, only=EVERY):
    """All messages of a person as of a time, page by page; None for nobody."""
    found: list[Message] = []
    after: Position | None = None
    while True:
        page = held.page(PageQuery(key, only, after, size), as_of)
        if page is None:
            return None
        found += page.messages
        if page.next is None:
            return found
        assert len(page.messages) == size
        after = page.next


@every_message
@given(deliveries(), st.integers(-1, 14), st.integers(1, 3))
def test_as_of_a_time_is_what_the_messages_up_to_then_give(place, delivery, moment, size) -> None:
    history, batches, _, gap = delivery
    rules, as_of = fresh_workspace(Rules(session_gap=gap)), T0 + moment
    known = received(history, as_of)
    world = derive(known, rules)
    whole = {message.message_id: message._replace(warnings=()) for message in history}
    held = filled_with(place, batches, rules)
    keys = all_keys(held)

    views = held.persons(keys, as_of)
    timelines = [timeline(held, key, as_of, size) for key in keys]

    expected = [person_id_of(key, known, rules) for key in keys]
    assert [as_fields(view) for view in views] == [expected_view(one, world) for one in expected]
    assert timelines == [
        None if one is None else [whole[m.message_id] for m in world.people[one].messages]
        for one in expected
    ]


@every_message
@given(deliveries())
def test_as_of_now_is_what_is_live(place, delivery) -> None:
    _, batches, _, gap = delivery
    held = filled_with(place, batches, fresh_workspace(Rules(session_gap=gap)))
    keys = all_keys(held)

    then, live = held.persons(keys, ALWAYS), held.persons(keys)
    only = Filter(frozenset([Kind.TRACK, Kind.UNLINK]), frozenset(), T0 + 1, T0 + 10**10)
    timelines = [timeline(held, key, ALWAYS, 2, only) for key in keys]
    pages = [held.page(PageQuery(key, only, None, 1_000)) for key in keys]

    assert [as_fields(view) for view in then] == [as_fields(view) for view in live]
    assert timelines == [page and list(page.messages) for page in pages]
