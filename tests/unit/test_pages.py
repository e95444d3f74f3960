"""Pages of a timeline: a filter may pass over any number of messages between two that it takes."""

import pytest

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Position
from sameas_service.resolver.facts import Filter, PersonKey
from sameas_service.resolver.read import timeline
from sameas_service.resolver.read.timeline import PageQuery
from support.stored import stored

T0 = 1_700_000_000_000_000
MESSAGES = 1_000
RARE = {100: "first", 900: "last"}
"""By their number, what the filter takes; between them is more than is read at once."""


@pytest.mark.parametrize("examined_max", [10_000, 300])
def test_a_filter_passes_over_more_than_is_read_at_once(monkeypatch, examined_max: int):
    monkeypatch.setattr(timeline, "EXAMINED_MAX", examined_max)
    calls = [
        Call(Kind.TRACK, f"m{n:04}", T0 + n, user_id="u", event=RARE.get(n, "e"))
        for n in range(MESSAGES)
    ]
    key, only = PersonKey("user", "u"), Filter(events=frozenset(RARE.values()))
    found: list[str] = []
    after: Position | None = None
    pages = 0
    with stored([[accept(call) for call in calls]], Rules()) as held:
        while pages == 0 or after is not None:
            page = held.page(PageQuery(key, only, after, 50))
            assert page is not None
            found += [message.event for message in page.messages]
            after = page.next
            pages += 1

    assert found == ["first", "last"]
    assert (pages > 1) is (examined_max < MESSAGES)
