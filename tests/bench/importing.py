"""How fast the command line imports the corpus, gzip, JSON, gRPC and all."""

import re
import subprocess
import sys

from tests.bench.results import Result
from tests.support.servers import running
from tests.support.shared import CORPUS


def measure() -> list[Result]:
    """Messages a second by `sameas import`; nothing where the corpus is not at hand."""
    if not CORPUS.exists():
        return []
    with running() as server:
        command = [sys.executable, "-m", "sameas_service", "import", str(CORPUS)]
        done = subprocess.run(
            [*command, "--server", server.target],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = re.search(r"\(([\d,]+) messages/s\)", done.stdout)
    assert found, done.stdout
    return [Result("import of the shop corpus", float(found[1].replace(",", "")), "messages/s")]
