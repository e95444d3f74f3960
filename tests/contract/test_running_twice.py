"""Work that runs again after a conflict: the same answers, rows and dump as if it ran once."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

from contract.reruns import Rerunning, plain
from contract.scenes import (
    merged,
    reset,
    said,
    seen,
    signed_in,
    traits,
    unlinked,
)
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Receipt
from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.resolver import Resolver
from support.damages import story
from support.deliveries import EXAMPLES, deliveries
from support.histories import GAP
from support.stored import Stored, fresh_workspace
from support.stores import PLACES, Place
from support.worlds import expected_dump

GROUPS: dict[str, list[Message]] = {
    "a first claim, in order": [
        seen("a", 500, "d9"),
        traits("b", 501, '{"set":{"plan":1},"append":{"l":1}}', device="d9"),
        signed_in("c", 502, "d9", "u9", payload='{"plan":2}'),
    ],
    "a switch of users": [seen("a", 500, "d1"), signed_in("b", 501, "d1", "u3", payload='{"n":1}')],
    "late messages": [
        traits("a", 49, '{"increment":{"n":2}}', device="d1"),
        signed_in("b", 51, "d1", "u3"),
        reset("c", 55, "d1"),
        reset("d", 3, "d1", "u1"),
    ],
    "all that Track takes": [
        said(kind, f"{int(kind)}", 500, anonymous_id="d1", user_id="u1", event="e")
        for kind in (Kind.TRACK, Kind.PAGE, Kind.SCREEN, Kind.GROUP)
    ],
    "aliases": [
        said(Kind.ALIAS, "a", 500, user_id="u1", previous_anonymous_id="d9"),
        said(Kind.ALIAS, "b", 501, user_id="u1", previous_anonymous_id="d8"),
        said(Kind.ALIAS, "c", 502, user_id="u7", previous_user_id="u1"),
        said(Kind.ALIAS, "d", 503, user_id="u7", previous_user_id="u7"),
    ],
    "merges": [merged("a", 500, "u5", "u1"), merged("b", 501, "u8", "u9")],
    "operations on traits": [
        traits("a", 500, '{"set":{"plan":1},"increment":{"n":1}}', user="u1"),
        traits("b", 501, '{"union":{"tags":["c"]},"unset":["plan"]}', user="u3"),
        traits("c", 502, '{"append":{"n":1}}', user="u1"),
    ],
    "unlinks": [
        unlinked("a", 500, "u2", device="d1"),
        unlinked("b", 501, "u4", other="u3"),
        unlinked("c", 502, "u9", device="d9"),
        merged("d", 503, "u4", "u3"),
    ],
    "an unlink of what came with it": [
        signed_in("a", 500, "d9", "u9", payload='{"n":1}'),
        unlinked("b", 501, "u9", device="d9"),
    ],
    "repeats, of the ledger and of the group, and a reused id": [
        story()[2],
        seen("a", 500, "d9", "u9"),
        seen("a", 500, "d9", "u9"),
        story()[16],
        story()[15],
        seen("m000", 501, "d9"),
        story()[10],
    ],
    "nothing but repeats": story()[:3],
}
"""What comes after the story of `support.damages`."""


class Pair(NamedTuple):
    """Two stores that get the same."""

    once: Place
    twice: Place


@pytest.fixture(scope="module", params=PLACES)
def places(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two stores of a kind, which the tests of this module share."""
    with PLACES[request.param]() as once, PLACES[request.param]() as twice:
        yield Pair(once, twice)


class Twins:
    """The same workspace in both stores; in the second all work runs twice."""

    def __init__(self, places: Pair, gap: int = GAP) -> None:
        self.rules = fresh_workspace(Rules(session_gap=gap))
        self.once = Stored(places.once.store, self.rules)
        self.rerunning = Rerunning(places.twice.store)
        self.twice = Stored(self.rerunning, self.rules)

    def append(self, messages: list[Message]) -> Any:
        """The answer to both."""
        answers = plain(self.once.append(messages))
        assert plain(self.twice.append(messages)) == answers
        return answers

    def check(self) -> None:
        """See to it that both runs did the same, and that both stores have the same."""
        for first, second in self.rerunning.runs:
            assert plain(first.answer) == plain(second.answer)
            assert first.rows == second.rows
        assert self.twice.dump() == self.once.dump()
        assert self.twice.changes() == self.once.changes()
        assert self.twice.messages() == self.once.messages()


def test_groups_of_every_kind_of_message_are_tried() -> None:
    assert {message.kind for group in GROUPS.values() for message in group} == set(Kind)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_runs_twice_is_kept_as_once(places: Pair, group: str) -> None:
    twins = Twins(places)
    twins.append(story())

    answers = twins.append(GROUPS[group])

    assert len(answers) == len(GROUPS[group])
    # Nothing but repeats has no row to write.
    assert all(second.rows for _, second in twins.rerunning.runs[:2]) is (
        group != "nothing but repeats"
    )
    twins.check()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("group", GROUPS)
def test_a_report_that_runs_twice_tells_the_same(places: Pair, group: str, keep: bool) -> None:
    twins = Twins(places)
    twins.append(story())

    for message in GROUPS[group]:
        told = plain(twins.once.report(message, keep=keep))
        assert plain(twins.twice.report(message, keep=keep)) == told

    twins.check()


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_runs_again_counts_what_came_in_between(places: Pair, group: str) -> None:
    """The conflict was with a group about the same devices and users."""
    rules = fresh_workspace(Rules(session_gap=GAP))
    between = [
        signed_in("x1", 499, "d1", "u6", payload='{"plan":"other"}'),
        merged("x2", 498, "u2", "u9"),
        signed_in("x3", 497, "d9", "u8"),
        unlinked("x4", 496, "u4", other="u3"),
        seen("a", 500, "d9", "u9"),
    ]
    once, twice = (Stored(place.store, rules) for place in places)
    for held in (once, twice):
        held.append(story())
    again = Stored(Rerunning(places.twice.store, lambda: twice.append(between)), rules)

    once.append(between)
    expected = plain(once.append(GROUPS[group]))

    assert plain(again.append(GROUPS[group])) == expected
    assert twice.dump() == once.dump()
    assert twice.changes() == once.changes()


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(deliveries())
def test_any_delivery_of_which_each_group_runs_twice_is_as_once(places, delivery) -> None:
    history, batches, _, gap = delivery
    twins = Twins(places, gap)

    for batch in batches:
        twins.append(batch)

    twins.check()
    assert twins.twice.dump() == expected_dump(history, twins.rules)


def test_the_calls_of_a_resolver_answer_the_same_though_each_runs_twice(places: Pair) -> None:
    """Groups of several callers, reports and unlinks, as the servicer makes them."""
    rules = fresh_workspace(Rules(session_gap=GAP))
    stores = [Gated(places.once.store), Gated(Rerunning(places.twice.store))]

    answers = [asyncio.run(called(store, rules)) for store in stores]

    assert answers[0] == answers[1]
    once, twice = (Stored(place.store, rules) for place in places)
    assert twice.dump() == once.dump()
    assert all(isinstance(one, Receipt) for one in answers[0][0])


async def called(store: "Gated", rules: Rules) -> list[Any]:
    """The answers to calls of every kind."""
    resolver, workspace = Resolver(store), store.workspace(rules.workspace, rules.session_gap)
    found: list[Any] = [await in_two_groups(resolver, store, workspace)]
    for group in GROUPS.values():
        found.append(plain(list(await resolver.append(workspace, group))))
        for message in map(renamed, group, count(len(found) * 100)):
            call = resolver.unlink if message.kind is Kind.UNLINK else resolver.report
            found += [await call(workspace, message, keep=keep) for keep in (False, True)]
    await resolver.close()
    return found


def renamed(message: Message, number: int) -> Message:
    """The message once more, with an id that none has."""
    return message._replace(position=message.position._replace(message_id=f"again-{number}"))


async def in_two_groups(resolver: Resolver, store: "Gated", workspace: Workspace) -> list[Receipt]:
    """The receipts of the story, a call each: the first alone, and the others as they wait."""
    first, *others = story()
    store.gate.clear()
    begun = asyncio.ensure_future(resolver.append(workspace, [first]))
    assert await asyncio.to_thread(store.began.wait, 10)
    waiting = [asyncio.ensure_future(resolver.append(workspace, [m])) for m in others]
    await asyncio.sleep(0)
    store.gate.set()
    return [receipt for answers in await asyncio.gather(begun, *waiting) for receipt in answers]


class Gated:
    """A store that begins no write while its gate is closed, and that the fixture closes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()

    def write(self, work: Any, *, keep: bool = True) -> Any:
        self.began.set()
        assert self.gate.wait(10)
        return self._store.write(work, keep=keep)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        """Leave it open."""
