"""`python -m tests.bench [NAME ...]`: those named, or all but the two that fill 10,000,000."""

import sys

from tests.bench import (
    buffered,
    claims,
    importing,
    ingest,
    late,
    overload,
    past,
    plot,
    rebuilding,
    scale,
    slow_disk,
    streaming,
    unary,
    undoing,
)
from tests.bench.results import report

BENCHES = {
    "unary": unary.measure,
    "ingest": ingest.measure,
    "streaming": streaming.measure,
    "buffered": buffered.measure,
    "slow-disk": slow_disk.measure,
    "late": late.measure,
    "overload": overload.measure,
    "claims": claims.measure,
    "import": importing.measure,
    "undo": undoing.measure,
    "past": past.measure,
    "rebuild": rebuilding.measure,
    "scale": scale.measure,
    "growth": plot.measure,
}
LONG = {"scale", "growth"}
"""They fill a store with 10,000,000 messages, for many minutes: run when they are named."""

if __name__ == "__main__":
    chosen = sys.argv[1:] or [name for name in BENCHES if name not in LONG]
    report([result for name in chosen for result in BENCHES[name]()])
