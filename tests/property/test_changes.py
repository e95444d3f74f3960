"""The log of changes, replayed, is what the store answers."""

from hypothesis import HealthCheck, given, settings

from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.derive import Rules
from support.deliveries import EXAMPLES, deliver, deliveries
from support.stored import fresh_workspace


def replayed(logged) -> dict[tuple[bool, str], str]:
    """The map of (is it a user, id) to person that a consumer ends with."""
    people = {}
    for one in logged:
        change = one.change
        key = (change.is_user, change.name)
        assert change.former == people.get(key, ""), f"{one} does not follow from {people}"
        if change.kind is ChangeKind.GONE:
            del people[key]
        else:
            people[key] = change.person_id
    return people


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(deliveries())
def test_replaying_the_changes_into_an_empty_map_gives_everybody(place, delivery) -> None:
    _, batches, restarts, gap = delivery
    logs = []

    def look(held) -> None:
        logs.append((held.changes(), held.dump()))

    rules = fresh_workspace(Rules(session_gap=gap))
    deliver(place, rules, batches, restarts, after_each=look)

    for log, dumped in logs:
        users = {(True, name): person for name, person in dumped["user_ids"].items()}
        devices = {(False, name): person for name, person in dumped["anonymous_ids"].items()}
        assert replayed(log) == users | devices
