"""What a bench found, as a table and as bench.json."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    """One figure. `aim` is empty for a figure that is only reported."""

    name: str
    value: float
    unit: str
    aim: str = ""
    holds: bool | None = None


def ratio(
    name: str, value: float, *, least: float | None = None, most: float | None = None
) -> Result:
    """A ratio with an aim: at least or at most so much."""
    if least is not None:
        return Result(name, value, "ratio", f">= {least}", value >= least)
    if most is not None:
        return Result(name, value, "ratio", f"<= {most}", value <= most)
    return Result(name, value, "ratio")


def median_of(rounds: int, measure: Callable[[], float]) -> float:
    """The median of several measurements: the machine is shared and noisy."""
    return statistics.median(measure() for _ in range(rounds))


def report(results: Sequence[Result]) -> None:
    """Prints the table and writes bench.json."""
    table = Table("what", "value", "unit", "aim", "holds")
    for one in results:
        holds = "" if one.holds is None else "yes" if one.holds else "NO"
        table.add_row(
            one.name,
            f"{one.value:,.3g}" if abs(one.value) < 100 else f"{one.value:,.0f}",
            one.unit,
            one.aim,
            holds,
        )
    Console(width=120).print(table)
    (ROOT / "bench.json").write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n")
