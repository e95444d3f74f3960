"""A data directory with everything in it, and the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sameas_service.cli.app import app
from support.damages import filled, story


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with the story."""
    return filled(tmp_path / "data", story())


@pytest.fixture
def sameas() -> Callable[..., object]:
    """Runs a command of the command line."""
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])
