"""Fixtures that more than one folder uses."""

from collections.abc import Iterator

import pytest

from support.places import place  # noqa: F401  (a fixture)
from support.servers import Server, running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A running server that the tests of one module share: use ids of your own."""
    with running() as started:
        yield started


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    """A running server with nothing in it."""
    with running() as started:
        yield started
