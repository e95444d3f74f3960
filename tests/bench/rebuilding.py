"""How fast the derived tables are made from the ledger, and held against it."""

import tempfile
import time
from pathlib import Path

from tests.bench import corpus
from tests.bench.results import Result

from sameas_service.domain.derive import Rules
from sameas_service.servicer.calls import Receiving, item_message
from sameas_service.store.sqlite.database import Database
from sameas_service.store.sqlite.rebuild import rebuild
from sameas_service.store.sqlite.verify import verify

MESSAGES = 100_000
BATCH = 2_500


def measure(count: int = MESSAGES) -> list[Result]:
    """Messages a second by `rebuild` and by `verify`, over copies of the corpus."""
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        _fill(data, count)
        begin = time.perf_counter()
        messages = rebuild(data, None, lambda *_: None)
        rebuilt = time.perf_counter()
        differences = list(verify(data, lambda *_: None))
        verified = time.perf_counter()
    assert not differences
    return [
        Result("rebuild of the derived tables", messages / (rebuilt - begin), "messages/s"),
        Result("verify of the derived tables", messages / (verified - rebuilt), "messages/s"),
    ]


def _fill(data: Path, count: int) -> None:
    database = Database(data, Rules())
    how = Receiving(1_900_000_000_000_000, frozenset(), imported=True)
    messages = [item_message(item, how) for item in corpus.items(count)]
    for at in range(0, count, BATCH):
        database.append(messages[at : at + BATCH])
    database.close()
