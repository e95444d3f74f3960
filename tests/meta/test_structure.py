"""The folders are those that the READMEs name, and neither they nor their files grow too large."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.readme import section
from support.snippets import READMES, ROOT

FILE_LINES_MAX = 400
STORE_FILES_MAX, STORE_LINES_MAX = 15, 2_500
"""Of one store: what is more belongs to the use cases, which are the same for every store."""

STUBS = ROOT / "client" / "sameas" / "v1"
SOURCES = sorted(
    path
    for folder in ("service", "client")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(STUBS)
)
STORES = sorted(
    path.parent for path in (ROOT / "service/sameas_service/store").glob("*/__init__.py")
)


def lines_of(file: Path) -> int:
    return len(file.read_text().splitlines())


def folders_named() -> Iterator[Path]:
    """The folders of the README's project structure, and those that its descriptions name."""
    above = ROOT
    for line in re.findall(r"```\n(.*?)```", section("Project structure"), re.DOTALL)[
        0
    ].splitlines():
        found = re.match(r"( *)(\S+/)(?:\s+(.*))?$", line)
        assert found, line
        indent, name, text = found[1], found[2], found[3] or ""
        folder = (above if indent else ROOT) / name
        if not indent:
            above = folder
        yield folder
        yield from (folder / word for word in re.findall(r"\b[a-z_]+/", text))
        if name == "tests/":
            yield from (folder / word for word in re.findall(r"\w+", text))


def test_each_folder_of_the_project_structure_exists():
    folders = list(folders_named())

    assert [str(folder) for folder in folders if not folder.is_dir()] == []
    assert {ROOT / "tests/contract", ROOT / "service/sameas_service/store/sqlite"} <= set(folders)


@pytest.mark.parametrize("readme", READMES, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_path_that_a_readme_names_exists(readme: Path):
    named = re.findall(r"`((?:tests|service|client|protos)/[\w./-]+)`", readme.read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("store", STORES, ids=lambda folder: folder.name)
def test_a_store_is_small(store: Path):
    files = list(store.rglob("*.py"))

    assert len(files) <= STORE_FILES_MAX
    assert sum(map(lines_of, files)) <= STORE_LINES_MAX


def test_no_file_is_long():
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := lines_of(p)) > FILE_LINES_MAX}

    assert long == {}
    assert len(SOURCES) > 100
    assert STORES
