"""A real server, the real thin client, and a calendar: what every story needs."""

from collections.abc import Iterator

import pytest

from sameas import Client
from support.servers import Server
from support.stories import Calendar


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """The thin client, on a server that a module's stories share: each has ids of its own."""
    with Client(server.target) as opened:
        yield opened


@pytest.fixture
def calendar() -> Calendar:
    """The clock of a story's sessions."""
    return Calendar()
