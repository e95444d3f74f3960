"""What a claim costs on a device with a million events, against one with ten."""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.bench.results import Result, ratio
from tests.support.stored import Stored, opened

from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message, position_of
from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.ports import WriteTransaction
from sameas_service.resolver.write.group import append

MANY, FEW = 1_000_000, 10
ROUNDS = 200
START = 1_700_000_000_000_000
SECOND = 1_000_000


def measure(many: int = MANY) -> list[Result]:
    """A first claim and a switch to another user, each with the device's whole past in one
    visit, so that everything that could be walked is."""
    with tempfile.TemporaryDirectory() as directory:
        held = opened(Path(directory), Rules())
        for size, device in ((FEW, "few"), (many, "many")):
            _fill(held, f"{device}-anonymous", size, owner=None)
            _fill(held, f"{device}-owned", size, owner="first")
        results = [
            ratio(
                f"{name} on a device with {many:,} events against one with {FEW}", share, most=1.2
            )
            for name, share in (
                ("a first claim", _compare(held, "anonymous", many)),
                ("a switch of users", _compare(held, "owned", many)),
            )
        ]
        held.close()
    return results


def _fill(held: Stored, device: str, size: int, owner: str | None) -> None:
    if owner is not None:
        held.append([_message(device, 0, owner)])
    for at in range(1, size + 1, 2_500):
        held.append([_message(device, n) for n in range(at, min(at + 2_500, size + 1))])


def _message(device: str, second: int, user: str | None = None) -> Message:
    kind = Kind.TRACK if user is None else Kind.IDENTIFY
    time_ = START + second * SECOND
    event = "e" if user is None else ""
    position = position_of(kind, time_, f"{device}-{second:08d}-{user}")
    return Message(kind, position, time_, device, user, event=event)


def _compare(held: Stored, which: str, many: int) -> float:
    """Median seconds of a claim on the large device over those on the small one."""
    times: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, size in (("few", FEW), ("many", many)):
            claim = _message(f"{name}-{which}", size + 1, "second")
            times[name].append(_rolled_back(held, claim))
    return statistics.median(times["many"]) / statistics.median(times["few"])


def _rolled_back(held: Stored, message: Message) -> float:
    """Seconds of a message that is taken and taken back, so that it can be measured again."""
    work = partial(_timed, workspace=held.workspace, message=message)
    return held.store.write(work, keep=False)


def _timed(transaction: WriteTransaction, workspace: Workspace, message: Message) -> float:
    begin = time.perf_counter()
    append(transaction, workspace, [message])
    return time.perf_counter() - begin
