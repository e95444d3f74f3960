"""The README taken apart: its sections, tables and words in backticks."""

import re
from typing import NamedTuple

from support.snippets import ROOT

README = ROOT / "README.md"

_UNITS = {"KiB": 1024, "MiB": 1024 * 1024, "bytes": 1}
_QUOTED = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """A row of a table, its cells without the backticks round them."""

    cells: tuple[str, ...]


def section(title: str) -> str:
    """The text below a heading of the second level."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README.read_text(), re.M | re.S)
    assert found, f"README has no section {title}"
    return found[1]


def table(title: str) -> list[Row]:
    """The rows of the table in a section."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    assert len(lines) > 1, f"README has no table in {title}"
    return [
        Row(tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")))
        for line in lines[1:]
    ]


def quoted(text: str) -> list[str]:
    """What stands in backticks."""
    return _QUOTED.findall(text)


def number(text: str) -> int:
    """The number that `2,500`, `32 KiB`, `256 bytes` or `2^53` stands for."""
    if "^" in text:
        base, exponent = text.split("^")
        return int(base) ** int(exponent)
    digits, _, unit = text.partition(" ")
    return int(digits.replace(",", "")) * _UNITS[unit or "bytes"]
