"""Fixtures of the tests that talk to a real server."""

from collections.abc import Iterator

import pytest

from support.api import Api, connected
from support.servers import Server


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Api]:
    """The module's server, spoken to through the generated stubs."""
    with connected(server.target) as api:
        yield api
