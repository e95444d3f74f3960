from pathlib import Path

import pytest
from typer.testing import CliRunner

from sameas_service.cli.app import app
from sameas_service.server import run
from sameas_service.server.config import Config


@pytest.fixture
def served(monkeypatch):
    """The configurations that the server is asked to serve."""
    configs = []
    monkeypatch.setattr(run, "serve", configs.append)
    return configs


def test_serve_has_defaults_for_one_machine(served):
    result = CliRunner().invoke(app, ["serve"])

    assert result.exit_code == 0
    assert served == [Config(data=Path("data"), host="127.0.0.1", port=50051)]


def test_serve_takes_its_options_from_the_environment_and_prefers_those_given(served):
    environment = {"SAMEAS_DATA": "/d", "SAMEAS_HOST": "::", "SAMEAS_PORT": "1"}

    CliRunner().invoke(app, ["serve", "--port", "2"], env=environment)

    assert served == [Config(data=Path("/d"), host="::", port=2)]


@pytest.mark.parametrize("command", ["serve", "import", "person", "timeline"])
def test_every_command_has_help(command):
    result = CliRunner().invoke(app, [command, "--help"])

    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_without_a_command_the_commands_are_listed():
    result = CliRunner().invoke(app, [])

    assert all(word in result.output for word in ("serve", "import", "person", "timeline"))
