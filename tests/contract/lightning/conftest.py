"""The worlds in which the contract of Lightning backends is played."""

from collections.abc import Iterator

import pytest

from tests.contract.lightning_worlds import WORLDS
from tests.contract.lightning_worlds.base import LightningWorld


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[LightningWorld]:
    """Return the world of one backend, in which nothing has happened yet."""
    made = WORLDS[request.param].create(request)
    yield made
    made.close()
