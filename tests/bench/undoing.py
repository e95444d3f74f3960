"""What a merge and an unlink cost on a person with a million messages, against one with ten."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.results import Result, ratio

from sameas_service.domain.accept import Call, accept
from sameas_service.domain.derive import Rules
from sameas_service.domain.kinds import Kind
from sameas_service.domain.message import Message
from sameas_service.store.sqlite.append import append
from sameas_service.store.sqlite.database import Database

MANY, FEW = 1_000_000, 10
ROUNDS = 100
START = 1_700_000_000_000_000
SECOND = 1_000_000
NOW = START + 10_000_000 * SECOND


def measure(many: int = MANY) -> list[Result]:
    """Both persons have one device, and every message of theirs names it and the user: each
    of them is a claim. The other user of a pair is a small one."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database(Path(directory), Rules())
        database.append([_claim("other", "other-device", 0)])
        for size, name in ((FEW, "few"), (many, "many")):
            _fill(database, name, size)
        results = [
            ratio(
                f"{what} on a person with {many:,} messages against one with {FEW}", share, most=1.5
            )
            for what, share in (
                ("Merge", _compare(database, _merge)),
                ("Unlink of a device", _compare(database, _unlink_device)),
                ("Unlink of users", _compare(database, _unlink_users, _merge)),
            )
        ]
        database.close()
    return results


def _fill(database: Database, name: str, size: int) -> None:
    for at in range(0, size, 2_500):
        database.append(
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
    database: Database,
    measured: Callable[[str], Message],
    before: Callable[[str], Message] | None = None,
) -> float:
    """Median seconds for the large person over those for the small one, rolled back."""
    times: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, taken in times.items():
            database._writer.execute("BEGIN IMMEDIATE")
            if before is not None:
                append(database._writer, database.workspace, [before(name)])
            begin = time.perf_counter()
            append(database._writer, database.workspace, [measured(name)])
            taken.append(time.perf_counter() - begin)
            database._writer.execute("ROLLBACK")
    return statistics.median(times["many"]) / statistics.median(times["few"])
