"""A data directory that no server has open, verified and rebuilt."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sameas_service.resolver.maintain.external_sort import RUN_BYTES
from sameas_service.resolver.maintain.rebuild import Gap, rebuild
from sameas_service.resolver.maintain.verify import Difference, verify
from sameas_service.store.sqlite.store import open_maintenance


def _quiet(*_: object) -> None:
    """Tell nobody of progress."""


def peak_bytes(work: str, directory: Path, run_bytes: int = RUN_BYTES) -> int:
    """The most memory that Python takes in a process that does one of the functions below."""
    script = (
        "import sys, tracemalloc; from pathlib import Path; "
        "from sameas_service.resolver.maintain import external_sort; "
        "from support import maintained; "
        f"external_sort.RUN_BYTES = {run_bytes}; tracemalloc.start(); "
        f"maintained.{work}(Path(sys.argv[1])); print(tracemalloc.get_traced_memory()[1])"
    )
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(directory)], cwd=tests, check=True, capture_output=True
    )
    return int(done.stdout)


def verified(directory: Path) -> list[Difference]:
    """What verify finds."""
    with open_maintenance(directory) as maintenance:
        return list(verify(maintenance, _quiet))


def rebuilt(
    directory: Path,
    gap: Gap | None = None,
    progress: Callable[[str, int, int], None] = _quiet,
) -> int:
    """Rebuild the derived tables. Return how many messages there are."""
    with open_maintenance(directory) as maintenance:
        return rebuild(maintenance, gap, progress)
