"""Configuration: one frozen value, from the environment or the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sameas_service.domain.derive import Rules
from sameas_service.domain.ids import NAMES_OF_NOBODY
from sameas_service.domain.times import microseconds_of
from sameas_service.server.defaults import HOST_DEFAULT, PORT_DEFAULT, SECONDS_MAX

PREFIX = "SAMEAS_"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to serve. Each field is set by the variable `SAMEAS_` and its name in capitals."""

    data: Path = Path("data")
    """Directory of the database; made where it is missing."""

    host: str = HOST_DEFAULT
    """Address to listen on."""

    port: int = PORT_DEFAULT
    """Port to listen on; 0 takes a free one."""

    session_gap_seconds: float = 1800.0
    """Longest pause within a visit. Fixed when the data directory is made."""

    drain_seconds: float = 10.0
    """How long calls under way may go on after SIGTERM."""

    blocked_ids: frozenset[str] = field(default_factory=frozenset)
    """Further ids to refuse as placeholders, comma-separated, in any case."""

    allowed_ids: frozenset[str] = field(default_factory=frozenset)
    """Ids of the standard list that are no placeholders here, comma-separated."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> "Config":
        """Return the configuration that the environment gives; unset variables are defaults.

        Raises:
            ValueError: naming the variable that cannot be read.
        """
        given: dict[str, Any] = {}
        for name, read in _READ.items():
            text = environment.get(PREFIX + name.upper(), "")
            if text:
                try:
                    given[name] = read(text)
                except ValueError as error:
                    raise ValueError(f"{PREFIX}{name.upper()} cannot be read: {error}") from error
        return cls(**given)

    @property
    def rules(self) -> Rules:
        """The rules of the one workspace."""
        return Rules(session_gap=microseconds_of(self.session_gap_seconds))

    @property
    def blocked(self) -> frozenset[str]:
        """All ids that are refused as placeholders, in lower case."""
        return (NAMES_OF_NOBODY | _lower(self.blocked_ids)) - _lower(self.allowed_ids)


def _lower(ids: frozenset[str]) -> frozenset[str]:
    return frozenset(one.lower() for one in ids)


def _list(text: str) -> frozenset[str]:
    return frozenset(one.strip() for one in text.split(",") if one.strip())


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65_536:
        raise ValueError("a port is 0 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= SECONDS_MAX:  # so that NaN is refused too
        raise ValueError(f"it must be 0 to {SECONDS_MAX} seconds")
    return seconds


_READ: dict[str, Callable[[str], Any]] = {
    "data": Path,
    "host": str,
    "port": _port,
    "session_gap_seconds": _seconds,
    "drain_seconds": _seconds,
    "blocked_ids": _list,
    "allowed_ids": _list,
}
