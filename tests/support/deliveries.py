"""Random histories as they may arrive: in any order, batching and repetition, with restarts."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from support.histories import GAP, histories
from support.stored import Stored
from support.stores import Place

EXAMPLES = int(os.environ.get("SAMEAS_TEST_EXAMPLES", "400"))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Message], list[list[Message]], list[bool], int]:
    """A history, its delivery in batches with duplicates, restarts, and a session gap."""
    history = draw(histories())
    extra = draw(st.lists(st.sampled_from(history), max_size=3)) if history else []
    order = draw(st.permutations(history + extra))
    batches = []
    while order:
        size = draw(st.integers(1, len(order)))
        batches.append(order[:size])
        order = order[size:]
    restarts = draw(st.lists(st.booleans(), min_size=len(batches), max_size=len(batches)))
    return history, batches, restarts, draw(st.sampled_from([GAP, GAP, 0, 1]))


def deliver(
    place: Place,
    rules: Rules,
    batches: list[list[Message]],
    restarts: list[bool],
    after_each: Callable[[Stored], None] = lambda _: None,
) -> dict[str, Any]:
    """The dump of a workspace that got the batches, its store opened again where asked."""
    for batch, restart in zip(batches, restarts, strict=True):
        held = Stored(place.store, rules)
        held.append(batch)
        after_each(held)
        if restart:
            place.reopen()
    return Stored(place.store, rules).dump()
