"""The workers of `make test` are processes of their own, and must all collect the same tests."""

import os
import subprocess
import sys
import time

from support.snippets import ROOT


def collected(hash_seed: int) -> list[str]:
    """Collect the suite in a process of its own. Returns the ids of its tests, in their order."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT, env=own | {"PYTHONHASHSEED": str(hash_seed)}, check=False,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-3_000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_a_test_has_the_same_id_in_every_process():
    """Neither the time of day, nor the order of a set, nor an address in memory is part of one."""
    first = collected(hash_seed=1)
    time.sleep(1.1)  # so that times of whole seconds differ too, as in a gzip header
    second = collected(hash_seed=2)

    assert len(first) == len(set(first)) > 2_000
    assert second == first
