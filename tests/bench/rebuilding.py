"""How fast the derived tables are made from the ledger, and held against it."""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import corpus
from tests.bench.results import Result, ratio
from tests.support.maintained import rebuilt, verified
from tests.support.stored import opened

from sameas_service.domain.derive import Rules, derive
from sameas_service.domain.message import Message
from sameas_service.servicer.requests import Receiving, item_message

MESSAGES = 300_000
BATCH = 2_500
ROUNDS = 3
LEAST = 0.6
"""Of the rate of the model, which has the messages in memory, and neither reads nor compares."""


def measure(count: int = MESSAGES) -> list[Result]:
    """Messages a second by the model alone, by `verify` and by `rebuild`: medians of rounds, over
    copies of the corpus.
    """
    how = Receiving(1_900_000_000_000_000, frozenset(), imported=True)
    messages = [item_message(item, how) for item in corpus.items(count)]
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        _fill(data, messages)
        works = {
            "derive, in memory": lambda: derive(messages, Rules()),
            "verify of the derived tables": lambda: _nothing_found(data),
            "rebuild of the derived tables": lambda: rebuilt(data),
        }
        rates = _rates(works, count)
    model, *others = rates
    return [
        *(Result(name, rate, "messages/s") for name, rate in rates.items()),
        *(
            ratio(f"{name} against derive", rates[name] / rates[model], least=LEAST)
            for name in others
        ),
    ]


def _rates(works: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """The median rate of each work, in rounds, so that what else runs here slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.freeze()  # the parsed messages would be looked through again and again
    for _ in range(ROUNDS):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - begin)
    gc.unfreeze()
    return {name: count / statistics.median(taken) for name, taken in seconds.items()}


def _nothing_found(data: Path) -> None:
    assert not verified(data)


def _fill(data: Path, messages: Sequence[Message]) -> None:
    database = opened(data, Rules())
    for at in range(0, len(messages), BATCH):
        database.append(messages[at : at + BATCH])
    database.close()
