"""One world for each registered rail; a rail without one fails test_rails_registered."""

from collections.abc import Callable

import pytest

from tests.contract.worlds import FakeWorld, OnchainWorld, World
from tests.support.payer import new_descriptor


def _onchain(request: pytest.FixtureRequest) -> World:
    return OnchainWorld(
        request.getfixturevalue("regtest_node"), request.getfixturevalue("rival_node")
    )


WORLDS: dict[str, Callable[[pytest.FixtureRequest], World]] = {
    "fake": lambda request: FakeWorld(),
    "onchain": _onchain,
}


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    """Return a world whose rail nobody has paid yet."""
    return WORLDS[request.param](request)


@pytest.fixture
def account_of() -> Callable[[World], str]:
    """Return what a merchant of that rail would enter."""
    return lambda world: new_descriptor() if world.rail.name == "onchain" else "me_test"
