"""Every preview equals what then happens, and leaves nothing behind."""

from collections import Counter

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sameas_service.domain.accept import accept
from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.derive import Rules
from sameas_service.domain.errors import Refused
from sameas_service.domain.message import Message
from support.deliveries import EXAMPLES
from support.histories import GAP, calls, histories
from support.stored import filled_with, fresh_workspace
from support.worlds import expected_dump

RULES = Rules(session_gap=GAP)


def owners(dump) -> dict[str, str]:
    """The person of each message."""
    return {one: key for key, person in dump["people"].items() for one in person["messages"]}


def traits(dump) -> dict[tuple[str, str], object]:
    """The value of each trait of each person."""
    return {
        (key, name): value
        for key, person in dump["people"].items()
        for name, value in person["traits"].items()
    }


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.data())
def test_a_preview_is_what_then_happens(place, history: list[Message], data) -> None:
    try:
        message = accept(data.draw(calls(99)))
    except Refused:
        assume(False)
    rules = fresh_workspace(RULES)
    held = filled_with(place, [history], rules)
    before = held.dump()
    preview = held.report(message, keep=False)
    unchanged = held.dump()
    told = held.report(message, keep=True)
    after = held.dump()

    assert unchanged == before
    assert preview == told
    assert after == expected_dump([*history, message], rules)
    now = owners(after)
    moved = Counter(
        (person, now.get(one, ""))
        for one, person in owners(before).items()
        if now.get(one) != person
    )
    assert {(m.former, m.person_id): m.messages for m in preview.moved} == moved
    old, new = traits(before), traits(after)
    changed = {
        key
        for key in old.keys() | new.keys()
        if repr(old.get(key, "no value")) != repr(new.get(key, "no value"))
    }
    assert {(t.person_id, t.trait) for t in preview.traits} == changed
    ids = {
        (kind, name)
        for kind in ("user_ids", "anonymous_ids")
        for name in before[kind].keys() | after[kind].keys()
        if before[kind].get(name) != after[kind].get(name)
    }
    assert {
        ("user_ids" if c.is_user else "anonymous_ids", c.name)
        for c in preview.changes
        if c.kind is not ChangeKind.PAST
    } == ids
