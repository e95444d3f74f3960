"""How fast the derived tables are made from the ledger, and held against it."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.bench import corpus
from tests.bench.results import Result, ratio
from tests.support.maintained import rebuilt, verified
from tests.support.stored import opened

from sameas_service.domain.derive import Rules, derive
from sameas_service.domain.message import Message
from sameas_service.servicer.requests import Receiving, item_message
from sameas_service.store.sqlite.store import FILE

MESSAGES = 300_000
BATCH = 2_500
ROUNDS = 3
LEAST = 0.6
"""Of the rate of the model, which neither reads nor compares: its messages are in memory."""

LOST = (
    "DELETE FROM span",
    "DELETE FROM person",
    "DELETE FROM profile",
    "UPDATE user SET canonical = 0, named = 0",
    "UPDATE device SET last_at = 0, owner = 0",
)
"""All that is derived, so that a rebuild has every row to write."""


def measure(count: int = MESSAGES) -> list[Result]:
    """Messages a second by the model alone, by `verify` and by `rebuild`; medians of rounds."""
    how = Receiving(1_900_000_000_000_000, frozenset(), imported=True)
    messages = [item_message(item, how) for item in corpus.items(count)]
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        _fill(data, messages)
        seconds = [_round(data, messages) for _ in range(ROUNDS)]
    rates = [count / statistics.median(taken) for taken in zip(*seconds, strict=True)]
    model, verify, rebuild, all_lost = rates
    return [
        Result("derive, of messages in memory", model, "messages/s"),
        Result("verify of the derived tables", verify, "messages/s"),
        Result("rebuild of the derived tables", rebuild, "messages/s"),
        Result("rebuild of the derived tables, all lost", all_lost, "messages/s"),
        ratio("verify against derive", verify / model, least=LEAST),
        ratio("rebuild against derive", rebuild / model, least=LEAST),
        ratio("rebuild of all that was lost against derive", all_lost / model, least=LEAST),
    ]


def _round(data: Path, messages: Sequence[Message]) -> tuple[float, float, float, float]:
    """Seconds of each, one after the other: what else runs here slows all of them."""
    begin = time.perf_counter()
    derive(messages, Rules())
    derived = time.perf_counter()
    assert not verified(data)
    checked = time.perf_counter()
    rebuilt(data)
    done = time.perf_counter()
    _lose_derived(data)
    lost = time.perf_counter()
    rebuilt(data)
    return derived - begin, checked - derived, done - checked, time.perf_counter() - lost


def _lose_derived(data: Path) -> None:
    with closing(sqlite3.connect(data / FILE)) as connection:
        for statement in LOST:
            connection.execute(statement)
        connection.commit()


def _fill(data: Path, messages: Sequence[Message]) -> None:
    database = opened(data, Rules())
    for at in range(0, len(messages), BATCH):
        database.append(messages[at : at + BATCH])
    database.close()
