"""Makes the stubs from the protos, or checks that the checked-in ones are fresh.

The generator is pinned to an old version on purpose: its stubs load with that runtime and
every newer one, while stubs of a newer generator refuse to load with an older runtime.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
GENERATED = "*_pb2*.py*"


def generate(target: Path) -> None:
    """Writes the stubs of all protos below `target`, which stands for `sameas/v1`."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        protos = sorted(PROTOS.glob("sameas/v1/*.proto"))
        services = [proto for proto in protos if proto.stem.endswith("_service")]
        _protoc(protos, f"--python_out={out}", f"--mypy_out=quiet:{out}")
        _protoc(services, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}")
        for old in target.glob(GENERATED):
            old.unlink()
        for new in (out / "sameas" / "v1").glob(GENERATED):
            shutil.copy(new, target / new.name)


def stale(target: Path) -> list[str]:
    """The names of stubs that differ from what the protos give."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate(fresh)
        names = {path.name for folder in (fresh, target) for path in folder.glob(GENERATED)}
        _, different, missing = filecmp.cmpfiles(fresh, target, names, shallow=False)
        return sorted(different + missing)


def _protoc(protos: list[Path], *outputs: str) -> None:
    plugins = [
        f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}"
        for name in ("mypy", "mypy_grpc")
    ]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *plugins, *outputs]
    subprocess.run([*command, *map(str, protos)], check=True)


def main() -> None:
    """The command line: `stubs.py [--check] FOLDER`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    if not arguments.check:
        generate(arguments.target)
    elif names := stale(arguments.target):
        sys.exit(f"stubs are stale, run `make proto`: {', '.join(names)}")


if __name__ == "__main__":
    main()
