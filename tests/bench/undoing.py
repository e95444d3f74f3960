"""What a merge and an unlink cost on a person with a million messages, against one with ten."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.results import Result, ratio
from tests.support.stored import Stored, opened

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.ports import WriteTransaction
from sameas_service.resolver.write.group import append

MANY, FEW = 1_000_000, 10
ROUNDS = 100
START = 1_700_000_000_000_000
SECOND = 1_000_000
NOW = START + 10_000_000 * SECOND


def measure(many: int = MANY) -> list[Result]:
    """Both persons have one device, and every message of theirs names it and the user: each
    of them is a claim. The other user of a pair is a small one."""
    with tempfile.TemporaryDirectory() as directory:
        held = opened(Path(directory), Rules())
        held.append([_claim("other", "other-device", 0)])
        for size, name in ((FEW, "few"), (many, "many")):
            _fill(held, name, size)
        results = [
            ratio(
                f"{what} on a person with {many:,} messages against one with {FEW}", share, most=1.5
            )
            for what, share in (
                ("Merge", _compare(held, _merge)),
                ("Unlink of a device", _compare(held, _unlink_device)),
                ("Unlink of users", _compare(held, _unlink_users, _merge)),
            )
        ]
        held.close()
    return results


def _fill(held: Stored, name: str, size: int) -> None:
    for at in range(0, size, 2_500):
        held.append(
            [_claim(name, f"{name}-device", second) for second in range(at, min(at + 2_500, size))]
        )


def _claim(user: str, device: str, second: int) -> Message:
    return accept(
        Call(
            Kind.TRACK, f"{user}-{second:08d}", NOW, device, user, event="e",
            client_time=START + second * SECOND, imported=True,
        )
    )  # fmt: skip


def _merge(name: str) -> Message:
    return accept(Call(Kind.MERGE, "merge", NOW, user_id="other", previous_user_id=name))


def _unlink_device(name: str) -> Message:
    return accept(Call(Kind.UNLINK, "unlink", NOW, user_id=name, anonymous_id=f"{name}-device"))


def _unlink_users(name: str) -> Message:
    return accept(Call(Kind.UNLINK, "unlink", NOW, user_id="other", previous_user_id=name))


def _compare(
    held: Stored,
    measured: Callable[[str], Message],
    before: Callable[[str], Message] | None = None,
) -> float:
    """Median seconds for the large person over those for the small one, rolled back."""
    times: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, taken in times.items():
            first = None if before is None else before(name)
            work = partial(_timed, workspace=held.workspace, first=first, message=measured(name))
            taken.append(held.store.write(work, keep=False))
    return statistics.median(times["many"]) / statistics.median(times["few"])


def _timed(
    transaction: WriteTransaction, workspace: Workspace, first: Message | None, message: Message
) -> float:
    if first is not None:
        append(transaction, workspace, [first])
    begin = time.perf_counter()
    append(transaction, workspace, [message])
    return time.perf_counter() - begin
