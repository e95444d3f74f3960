"""Data that lies beside the project and not in it. Tests that need it skip where it is not."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared"
CORPUS = SHARED / "data" / "shop.jsonl.gz"
EXPECTED = SHARED / "data" / "shop.expected.json"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="THE SHARED CORPUS IS NOT HERE: this test did not run"
)
