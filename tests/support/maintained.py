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
    return _said(
        work,
        directory,
        f"external_sort.RUN_BYTES = {run_bytes}; import tracemalloc; tracemalloc.start()",
        "tracemalloc.get_traced_memory()[1]",
    )


def growth_bytes(work: str, directory: Path) -> int:
    """How much a process that does one of the functions below grows by it, at the most."""
    read = "1024 * int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    return _said(work, directory, f"before = {read}", f"{read} - before")


def _said(work: str, directory: Path, before: str, after: str) -> int:
    """What a process prints after the work."""
    script = (
        "import sys; from pathlib import Path; "
        "from sameas_service.resolver.maintain import external_sort; "
        f"from support import maintained; {before}; "
        f"maintained.{work}(Path(sys.argv[1])); print({after})"
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
