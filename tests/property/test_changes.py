"""The log of changes, replayed, is what the store answers."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from sameas_service.domain.changes import ChangeKind
from sameas_service.domain.derive import Rules
from sameas_service.store.sqlite import changes
from support.deliveries import EXAMPLES, deliver, deliveries


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
def test_replaying_the_changes_into_an_empty_map_gives_everybody(delivery) -> None:
    _, batches, restarts, gap = delivery
    logs = []

    def look(database) -> None:
        log = changes.behind(database._writer, database.workspace, 0, 10_000)
        dumped = database.dump()
        logs.append((log, dumped))

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        deliver(Path(directory), Rules(session_gap=gap), batches, restarts, after_each=look)

    for log, dumped in logs:
        users = {(True, name): person for name, person in dumped["user_ids"].items()}
        devices = {(False, name): person for name, person in dumped["anonymous_ids"].items()}
        assert replayed(log) == users | devices
