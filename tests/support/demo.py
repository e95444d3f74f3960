"""A server on a throw-away directory, and the README's example through it: `make demo`."""

import subprocess
import sys
from pathlib import Path

# As a script it stands in `tests/support`; its neighbours are imported as in the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.servers import running
from support.snippets import example

USER = "usr_abc123"


def main() -> None:
    """Prints the example, what it prints, and how the command line shows the same person."""
    with running() as server:
        _show("README.md's example", example().code)
        _show("prints", _run("-c", example().for_target(server.target)))
        for command in ("person", "timeline"):
            shown = _run("-m", "sameas_service", command, USER, "--server", server.target)
            _show(f"sameas {command} {USER}", shown)


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.stdout


def _show(title: str, text: str) -> None:
    print(f"--- {title}\n{text.rstrip()}\n")  # noqa: T201 - the result of the command


if __name__ == "__main__":
    main()
