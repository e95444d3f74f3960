"""The contracts on imports in pyproject.toml are kept, and each is broken by what it forbids."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from support.snippets import ROOT

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
NAMES = {contract["id"]: contract["name"] for contract in CONFIG["contracts"]}
SERVICE = "service/sameas_service"


class Breach(NamedTuple):
    """An import that is not allowed: the contracts that it breaks, the file, and the line."""

    contracts: set[str]
    file: str
    line: str


BREACHES = [
    Breach({"layers"}, "servicer/structs.py", "import sameas_service.server.config"),
    Breach({"layers"}, "server/config.py", "import sameas_service.cli.times"),
    Breach({"layers"}, "resolver/facts.py", "import sameas_service.servicer.tokens"),
    Breach({"database", "use-cases"}, "domain/ids.py", "import sqlite3"),
    Breach({"layers"}, "servicer/tokens.py", "import sameas_service.store.failpoints"),
    Breach({"layers"}, "store/failpoints.py", "import sameas_service.servicer.tokens"),
    Breach({"port", "rules"}, "store/sqlite/rows.py", "import sameas_service.resolver.write.late"),
    Breach(
        {"port", "rules"}, "store/sqlite/rows.py", "import sameas_service.resolver.read.persons"
    ),
    Breach(
        {"port", "rules"}, "store/sqlite/rows.py", "import sameas_service.resolver.maintain.pairs"
    ),
    Breach({"port", "rules"}, "store/sqlite/rows.py", "import sameas_service.resolver.resolver"),
    Breach({"port"}, "store/failpoints.py", "import sameas_service.resolver.deadline"),
    *(
        Breach({"rules"}, "store/sqlite/wal.py", f"import sameas_service.domain.{rule}")
        for rule in (
            *("accept", "derive", "device_timeline", "explain.graph", "links", "ownership"),
            *("profile", "unlinks"),
        )
    ),
    Breach({"database"}, "cli/times.py", "import sqlite3"),
    Breach({"database"}, "server/config.py", "from sqlite_utils import Database"),
    Breach({"database"}, "servicer/structs.py", "def f():\n    import sqlite3"),
    Breach({"wire"}, "domain/ids.py", "import grpc"),
    Breach({"stubs"}, "servicer/structs.py", "from sameas import Client"),
    Breach({"stubs"}, "server/config.py", "import sameas.errors"),
    Breach({"wire", "stubs"}, "store/failpoints.py", "import sameas.clock"),
    Breach({"client"}, "../../client/sameas/clock.py", "import orjson"),
]


class Checkout:
    """A copy of the sources, to be changed and linted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copy(ROOT / "pyproject.toml", root)
        for name in ("service/sameas_service", "client/sameas"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))

    def broken(self) -> set[str]:
        """The ids of the contracts that are broken."""
        paths = [str(self.root / "service"), str(self.root / "client")]
        done = subprocess.run(
            [Path(sys.executable).parent / "lint-imports", "--no-cache"],
            cwd=self.root, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        verdicts = {
            name: re.search(rf"{re.escape(name)} (KEPT|BROKEN)", done.stdout)
            for name in NAMES.values()
        }
        assert all(verdicts.values()), done.stdout + done.stderr
        return {one for one, name in NAMES.items() if verdicts[name][1] == "BROKEN"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_every_contract_is_kept(checkout: Checkout):
    assert checkout.broken() == set()


def test_every_contract_is_broken_below():
    assert set().union(*(breach.contracts for breach in BREACHES)) == set(NAMES)


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: f"{breach.file}: {breach.line}")
def test_an_import_that_is_forbidden_breaks_its_contracts(checkout: Checkout, breach: Breach):
    file = checkout.root / SERVICE / breach.file
    before = file.read_text()
    file.write_text(f"{before}\n\n{breach.line}\n")
    try:
        broken = checkout.broken()
    finally:
        file.write_text(before)

    assert broken == breach.contracts
