"""The store, whatever the order, batching and restarts, gives what `derive` gives."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from sameas_service.domain.derive import Rules
from support.deliveries import EXAMPLES, deliver, deliveries
from support.worlds import expected_dump


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(deliveries())
def test_any_delivery_gives_what_the_model_gives(delivery) -> None:
    history, batches, restarts, gap = delivery
    rules = Rules(session_gap=gap)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        dumped = deliver(Path(directory), rules, batches, restarts)

    assert dumped == expected_dump(history, rules)
