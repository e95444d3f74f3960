"""Throughput as a store grows: measured, and drawn into the README from bench.json.

`python -m tests.bench growth` measures; `python -m tests.bench.plot` draws.
"""

import json
import re
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench import filling
from tests.bench.filling import MESSAGES, ROUND_MESSAGES, Traffic
from tests.bench.results import ROOT, Result
from tests.bench.scale import (
    WARM_MESSAGES,
    empty_round,
    ingest_round,
    last,
    serving,
)

SIZES = [MESSAGES * fifth // 5 for fifth in range(1, 6)]
ROUNDS = 3
NAME = "Ingest of 500, random ids, {:,} messages stored"
NAMED = re.compile(r"Ingest of 500, random ids, ([\d,]+) messages stored")
README = ROOT / "README.md"
MARKED = re.compile(r"(?<=<!-- plot -->\n).*?(?=<!-- /plot -->)", re.DOTALL)
BAR = 40
"""Characters of the longest bar."""

Pairs = list[tuple[float, float]]
"""Seconds a message: of a round on the grown store, and of the same on an empty one."""


def measure() -> list[Result]:
    """Messages a second at each size: the share of empty stores made in turn with it, times
    the median of all of those, so that the machine's moods stay out of the curve.
    """
    traffic = Traffic(1)
    found: dict[int, Pairs] = {}
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        for size in SIZES:
            filling.fill(data, traffic, size - (last(data) if found else 0))
            found[size] = _rounds(data, traffic)
    empty = 1 / statistics.median(small for pairs in found.values() for _, small in pairs)
    rates = {0: empty} | {size: empty * _share(pairs) for size, pairs in found.items()}
    return [Result(NAME.format(size), rate, "messages/s") for size, rate in rates.items()]


def _rounds(data: Path, traffic: Traffic) -> Pairs:
    pairs = []
    with serving(data) as server:
        ingest_round(server, traffic.take(ROUND_MESSAGES))  # to warm up
        for _ in range(ROUNDS):
            messages = traffic.take(ROUND_MESSAGES)
            large = ingest_round(server, messages)
            small = empty_round(traffic.take(WARM_MESSAGES), messages)
            pairs.append((large.seconds, small.seconds))
    return pairs


def _share(pairs: Pairs) -> float:
    return statistics.median(small / large for large, small in pairs)


def chart(rates: Mapping[int, float]) -> str:
    """Bars of messages a second by messages stored, as text: it reads the same in a terminal
    and on any page, light or dark.
    """
    best = max(rates.values())
    lines = [
        f"{size:>12,}    {'█' * round(rate / best * BAR):<{BAR}}  {rate:>8,.0f}"
        for size, rate in sorted(rates.items())
    ]
    head = f"{'stored':>12}    {'Ingest of 500, random message ids':<{BAR}}  messages/s"
    return "\n".join(["```text", head, *lines, "```", ""])


def main() -> None:
    """Puts the chart between the README's marks.

    Raises:
        SystemExit: bench.json has no figures of it, or the README no marks.
    """
    results = json.loads((ROOT / "bench.json").read_text())
    named = [(NAMED.fullmatch(one["name"]), one["value"]) for one in results]
    rates = {int(match[1].replace(",", "")): rate for match, rate in named if match}
    if not rates:
        raise SystemExit("run `python -m tests.bench growth` first")
    text, found = MARKED.subn(chart(rates), README.read_text())
    if not found:
        raise SystemExit("the README has no <!-- plot --> and <!-- /plot -->")
    README.write_text(text)


if __name__ == "__main__":
    main()
