"""`make pythons` runs the suite on what starts, and says what is not there."""

import sys
import tomllib
from pathlib import Path

import pytest

from support import pythons
from support.pythons import VERSIONS, chosen, find
from support.snippets import ROOT

HERE = {version: Path(version) for version in ("3.11", "3.12", "3.13")}


@pytest.fixture
def interpreter(tmp_path):
    """Make a program under the name of an interpreter, in a folder of its own."""

    def make(folder: str, name: str, script: str) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def test_the_oldest_python_is_the_one_that_is_promised():
    for file in ("pyproject.toml", "client/pyproject.toml"):
        project = tomllib.loads((ROOT / file).read_text())["project"]

        assert project["requires-python"] == f">={VERSIONS[0]}"


def test_the_first_interpreter_that_starts_as_its_version_is_found(interpreter):
    """A shim of pyenv is there for each version, and fails for those that are switched off."""
    shim = interpreter("shims", "python3.12", "exit 127")
    other = interpreter("other", "python3.12", "echo 3.9")
    first = interpreter("first", "python3.12", "echo 3.12")
    second = interpreter("second", "python3.12", "echo 3.12")
    places = [path.parent for path in (shim, other, first, second)]

    assert find("3.12", places) == first
    assert find("3.12", places[:2]) is None
    assert find("3.13", places) is None


def test_an_interpreter_of_the_right_name_is_really_asked(tmp_path):
    version = "{}.{}".format(*sys.version_info)
    (tmp_path / f"python{version}").symlink_to(sys.executable)

    assert find(version, [tmp_path]) == tmp_path / f"python{version}"


def test_pyenvs_versions_come_after_the_path_and_the_newest_first(interpreter, monkeypatch):
    pyenv = interpreter("bin", "pyenv", 'echo "$(dirname "$0")/../root"')
    for name in ("3.9.18", "3.11.7", "3.12.10", "3.12.9"):
        (pyenv.parents[1] / "root/versions" / name / "bin").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{pyenv.parent}:/usr/bin:/bin")

    own, *rest = pythons.folders()

    assert own == pyenv.parent
    assert [folder.parent.name for folder in rest[2:]] == ["3.12.10", "3.12.9", "3.11.7", "3.9.18"]


@pytest.mark.parametrize(
    ("wanted", "default", "versions"),
    [
        ([], "3.11", ["3.11", "3.12", "3.13"]),
        (["newest"], "3.11", ["3.13"]),
        (["newest"], "3.13", ["3.12"]),
        (["3.12", "3.11"], "3.11", ["3.12", "3.11"]),
    ],
    ids=["all", "newest", "newest but the default", "named"],
)
def test_what_is_run(wanted, default, versions):
    assert chosen(wanted, HERE, default) == versions


def test_where_there_is_only_the_default_nothing_is_run():
    assert chosen(["newest"], {"3.11": Path()}, "3.11") == []


def test_a_version_that_was_named_must_be_there():
    with pytest.raises(SystemExit, match=r"not found: Python 3.14"):
        chosen(["3.13", "3.14"], HERE, "3.11")
