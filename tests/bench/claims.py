"""What a claim costs on a device with a million events, against one with ten."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.results import Result, ratio

from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, position_of
from sameas_service.store.sqlite.append import append
from sameas_service.store.sqlite.database import Database

MANY, FEW = 1_000_000, 10
ROUNDS = 200
START = 1_700_000_000_000_000
SECOND = 1_000_000


def measure(many: int = MANY) -> list[Result]:
    """A first claim and a switch to another user, each with the device's whole past in one
    visit, so that everything that could be walked is."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database(Path(directory), Rules())
        for size, device in ((FEW, "few"), (many, "many")):
            _fill(database, f"{device}-anonymous", size, owner=None)
            _fill(database, f"{device}-owned", size, owner="first")
        results = [
            ratio(
                f"{name} on a device with {many:,} events against one with {FEW}", share, most=1.2
            )
            for name, share in (
                ("a first claim", _compare(database, "anonymous", many)),
                ("a switch of users", _compare(database, "owned", many)),
            )
        ]
        database.close()
    return results


def _fill(database: Database, device: str, size: int, owner: str | None) -> None:
    if owner is not None:
        database.append([_message(device, 0, owner)])
    for at in range(1, size + 1, 2_500):
        database.append([_message(device, n) for n in range(at, min(at + 2_500, size + 1))])


def _message(device: str, second: int, user: str | None = None) -> Message:
    kind = Kind.TRACK if user is None else Kind.IDENTIFY
    time_ = START + second * SECOND
    event = "e" if user is None else ""
    position = position_of(kind, time_, f"{device}-{second:08d}-{user}")
    return Message(kind, position, time_, device, user, event=event)


def _compare(database: Database, which: str, many: int) -> float:
    """Median seconds of a claim on the large device over those on the small one."""
    times: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, size in (("few", FEW), ("many", many)):
            claim = _message(f"{name}-{which}", size + 1, "second")
            times[name].append(_rolled_back(database, lambda m=claim: _take(database, m)))
    return statistics.median(times["many"]) / statistics.median(times["few"])


def _take(database: Database, message: Message) -> None:
    append(database._writer, database.workspace, [message])


def _rolled_back(database: Database, work: Callable[[], None]) -> float:
    """Seconds of a piece of work that is undone, so that it can be measured again."""
    database._writer.execute("BEGIN IMMEDIATE")
    begin = time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    database._writer.execute("ROLLBACK")
    return seconds
