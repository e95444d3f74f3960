"""Benches: what `make bench` measures, each as a ratio to a limit measured in the same run."""

import sys
from pathlib import Path

# As pytest has it, for what the benches share with the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
