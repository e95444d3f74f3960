"""The suite of every store: its tests take a `scene` of a store's, or the `place` itself."""

import pytest

from contract.scenes import Scene
from support.stores import Place


@pytest.fixture
def scene(place: Place) -> Scene:
    """An empty workspace beside another that has the same ids."""
    return Scene(place)
