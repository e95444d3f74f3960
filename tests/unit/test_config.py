"""The configuration as the environment gives it."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from sameas_service.domain.ids import NAMES_OF_NOBODY
from sameas_service.domain.times import microseconds_of
from sameas_service.server.config import Config


def test_without_variables_everything_is_as_it_is_by_default() -> None:
    assert Config.from_env({}) == Config()
    assert Config.from_env({"PORT": "1", "sameas_port": "2", "SAMEAS_OTHER": "3"}) == Config()


def test_an_empty_variable_counts_as_unset() -> None:
    assert Config.from_env({f"SAMEAS_{f.name.upper()}": "" for f in fields(Config)}) == Config()


def test_each_variable_sets_its_field() -> None:
    config = Config.from_env(
        {
            "SAMEAS_DATA": "/var/lib/sameas",
            "SAMEAS_HOST": "0.0.0.0",
            "SAMEAS_PORT": "0",
            "SAMEAS_SESSION_GAP_SECONDS": "0.5",
            "SAMEAS_DRAIN_SECONDS": "0",
            "SAMEAS_BLOCKED_IDS": " nobody, ,Tester ",
            "SAMEAS_ALLOWED_IDS": "Guest",
        }
    )

    assert config == Config(
        data=Path("/var/lib/sameas"),
        host="0.0.0.0",
        port=0,
        session_gap_seconds=0.5,
        drain_seconds=0.0,
        blocked_ids=frozenset(["nobody", "Tester"]),
        allowed_ids=frozenset(["Guest"]),
    )
    assert config.rules.session_gap == 500_000
    assert config.blocked == (NAMES_OF_NOBODY | {"nobody", "tester"}) - {"guest"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SAMEAS_PORT", "http"),
        ("SAMEAS_PORT", "50051.0"),
        ("SAMEAS_PORT", "-1"),
        ("SAMEAS_PORT", "65536"),
        ("SAMEAS_SESSION_GAP_SECONDS", "30m"),
        ("SAMEAS_SESSION_GAP_SECONDS", "-1"),
        ("SAMEAS_SESSION_GAP_SECONDS", "nan"),
        ("SAMEAS_SESSION_GAP_SECONDS", "inf"),
        ("SAMEAS_SESSION_GAP_SECONDS", "1e300"),
        ("SAMEAS_DRAIN_SECONDS", "soon"),
        ("SAMEAS_DRAIN_SECONDS", "-0.1"),
        ("SAMEAS_DRAIN_SECONDS", "nan"),
        ("SAMEAS_DRAIN_SECONDS", "inf"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_variable(name, text) -> None:
    with pytest.raises(ValueError, match=name):
        Config.from_env({name: text})


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().port = 1


def test_a_session_gap_is_rounded_as_rebuild_rounds_it():
    # 1.001 * 1_000_000 is a little less than 1,001,000 as a float.
    assert Config(session_gap_seconds=1.001).rules.session_gap == 1_001_000
    assert microseconds_of(1.001) == 1_001_000
