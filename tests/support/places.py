"""The fixture `place`: the suite that uses it runs against every store."""

from collections.abc import Iterator

import pytest

from support.stores import PLACES, Place


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store that the tests of one module share: take a fresh workspace each."""
    with PLACES[request.param]() as found:
        yield found
