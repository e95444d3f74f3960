"""Run the suite on each Python that is here: `make pythons`, or PYTHONS=newest, or PYTHONS="3.12".

A Python is looked for on PATH and, since its shims there start only the versions that are
switched on, among all those that pyenv has installed. Each gets a virtual environment of its
own, beside that of the default.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""From the one that pyproject.toml asks for to the newest release."""
DEFAULT = "{}.{}".format(*sys.version_info)

_PROBE = "import ensurepip, sqlite3, sys, venv; print('{}.{}'.format(*sys.version_info))"
"""Debian's has no ensurepip, unless python3-venv is installed: nothing can be set up with it."""


def folders() -> list[Path]:
    """List where interpreters may be: PATH, then pyenv's versions, the newest first."""
    on_path = [Path(folder) for folder in os.get_exec_path()]
    if not shutil.which("pyenv"):
        return on_path
    done = subprocess.run(["pyenv", "root"], check=True, capture_output=True, text=True)
    installed = Path(done.stdout.strip(), "versions").glob("*/bin")
    return on_path + sorted(installed, key=_numbers, reverse=True)


def find(version: str, places: Iterable[Path]) -> Path | None:
    """Return the first interpreter of `version` that starts and can make an environment."""
    for path in (place / f"python{version}" for place in places):
        if os.access(path, os.X_OK):
            done = subprocess.run(
                [path, "-c", _PROBE], check=False, capture_output=True, text=True, timeout=60
            )
            if (done.returncode, done.stdout.strip()) == (0, version):
                return path
    return None


def chosen(wanted: list[str], found: dict[str, Path], default: str) -> list[str]:
    """Return which versions to run: all that were found, those wanted, or the newest other."""
    if wanted == ["newest"]:
        return [version for version in found if version != default][-1:]
    if missing := [version for version in wanted if version not in found]:
        sys.exit(f"not found: Python {', '.join(missing)}")
    return wanted or list(found)


def main() -> None:
    """Take the command line: `pythons.py [newest | VERSION ...]`."""
    places = folders()
    found = {version: path for version in VERSIONS if (path := find(version, places))}
    for version in VERSIONS:
        _say(f"Python {version}: {found.get(version, 'NOT FOUND, and so NOT TESTED')}")
    versions = chosen(sys.argv[1:], found, DEFAULT)
    if not versions:
        _say(f"NO PYTHON IS HERE BESIDES {DEFAULT}: the suite is NOT tested on another one")
    failed = [version for version in versions if not _passes(version, found[version])]
    if failed:
        sys.exit(f"the suite fails on Python {', '.join(failed)}")


def _passes(version: str, path: Path) -> bool:
    _say(f"The suite on Python {version}")
    command = ["make", "test", f"PYTHON={path}", f"VENV=.venv-{version}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _numbers(folder: Path) -> list[int]:
    """Sort 3.9.18 before 3.11.7."""
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _say(text: str) -> None:
    print(f"--- {text}", flush=True)  # noqa: T201 - goes before what make prints


if __name__ == "__main__":
    main()
