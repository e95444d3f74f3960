"""Two workspaces with the same ids: nothing of one shows in the other."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings

from contract.questions import Ids, answers
from contract.scenes import Scene
from sameas_service.domain.derive import Rules
from sameas_service.domain.message import Message
from sameas_service.resolver import ports
from sameas_service.resolver.resolver import Resolver
from support.damages import story
from support.deliveries import EXAMPLES, deliveries
from support.histories import DEVICES, USERS
from support.stored import Stored, filled_with, fresh_workspace
from support.worlds import expected_dump

check = settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))

NO_QUESTIONS = {"apply"}


def ids_of(held: Stored, *histories: list[Message]) -> Ids:
    """The ids of histories, as a workspace has them."""
    names = sorted({message.message_id for history in histories for message in history})
    return Ids(held, names, USERS, DEVICES)


def test_every_question_of_the_port_is_asked(scene: Scene) -> None:
    scene.held.append(story())

    asked = set(answers(scene.held, ids_of(scene.held, story())))

    methods = {
        name
        for protocol in (ports.ReadTransaction, ports.WriteTransaction, ports.LedgerReader)
        for name in vars(protocol)
        if not name.startswith("_")
    }
    assert asked == methods - NO_QUESTIONS


@check
@given(deliveries(), deliveries())
def test_what_comes_into_one_workspace_changes_no_answer_about_the_other(
    place, mine, theirs
) -> None:
    first, second = fresh_workspace(Rules()), fresh_workspace(Rules(session_gap=theirs[3]))
    held = filled_with(place, mine[1], first)
    ids = ids_of(held, mine[0], theirs[0])
    before = answers(held, ids)

    other = filled_with(place, theirs[1], second)

    assert answers(held, ids) == before
    assert held.dump() == expected_dump(mine[0], first)
    assert other.dump() == expected_dump(theirs[0], second)


@check
@given(deliveries(), deliveries())
def test_workspaces_in_one_group_get_what_each_gets_alone(place, mine, theirs) -> None:
    """Two callers' messages share a transaction, whoever they are."""
    first, second = fresh_workspace(Rules()), fresh_workspace(Rules())
    workspaces = [place.store.workspace(*rules) for rules in (first, second)]
    queues = [list(delivery[1]) for delivery in (mine, theirs)]

    async def keep_all() -> list[Any]:
        resolver = Resolver(Unclosed(place.store))
        found = []
        while any(queues):
            calls = [
                resolver.append(workspace, queue.pop(0))
                for workspace, queue in zip(workspaces, queues, strict=True)
                if queue
            ]
            found += await asyncio.gather(*calls)
        await resolver.close()
        return found

    asyncio.run(keep_all())

    for rules, delivery in ((first, mine), (second, theirs)):
        assert Stored(place.store, rules).dump() == expected_dump(delivery[0], rules)


class Unclosed:
    """A store that somebody else closes."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        """Leave it open."""
