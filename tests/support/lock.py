"""Pins the newest versions that fit the project's ranges, for every platform."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Writes requirements.lock. The client is not on an index yet, so it is built first."""
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [
                *pip,
                "wheel",
                "--no-deps",
                "--no-build-isolation",
                "--wheel-dir",
                wheels,
                "./client",
            ],
            cwd=ROOT,
            check=True,
        )
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--upgrade",
             "--python-version", "3.11", "--group", "dev", "--find-links", wheels,
             "--no-emit-package", "sameas", "--no-header", "--no-annotate",
             "--output-file", "requirements.lock", "pyproject.toml"],
            cwd=ROOT,
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
