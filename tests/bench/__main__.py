"""`python -m tests.bench [NAME ...]`: all benches, or those named."""

import sys

from tests.bench import claims, importing, ingest, past, rebuilding, unary, undoing
from tests.bench.results import report

BENCHES = {
    "unary": unary.measure,
    "ingest": ingest.measure,
    "claims": claims.measure,
    "import": importing.measure,
    "undo": undoing.measure,
    "past": past.measure,
    "rebuild": rebuilding.measure,
}

if __name__ == "__main__":
    chosen = sys.argv[1:] or list(BENCHES)
    report([result for name in chosen for result in BENCHES[name]()])
