"""Rails by name; the fake one only where it was allowed."""

import pytest

from bitcache_server.domain.errors import ConfigurationError, NodeUnreachable
from bitcache_server.rails.base import BlockConnected
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rails.registry import RAIL_FACTORIES, make_rail


def test_a_rail_is_made_by_its_name() -> None:
    rail = make_rail("onchain", rpc_url="http://user:password@127.0.0.1:9", network="regtest")
    assert rail.name == "onchain"
    assert make_rail("fake", allow=True).name == "fake"
    assert set(RAIL_FACTORIES) == {"fake", "lightning", "onchain"}


def test_an_unknown_rail_is_a_setting_gone_wrong() -> None:
    with pytest.raises(ConfigurationError, match="there are fake, lightning, onchain"):
        make_rail("paper")


def test_the_fake_rail_refuses_unless_allowed() -> None:
    with pytest.raises(ConfigurationError):
        FakeRail()
    with pytest.raises(ConfigurationError):
        FakeRail(allow=False)
    with pytest.raises(ConfigurationError):
        make_rail("fake")


def test_the_fake_rail_settles_nothing_by_itself() -> None:
    rail = FakeRail(allow=True)
    rail.pay("target", 1_000)
    for _ in range(3):
        [tip, *_] = rail.watch(None, lambda targets: set(targets))
        assert isinstance(tip, BlockConnected)
        assert (tip.block.height, tip.observations) == (0, ())


def test_the_fake_rail_can_be_broken_and_repaired() -> None:
    rail = FakeRail(allow=True)
    rail.break_with(NodeUnreachable("the cable is out"))
    assert (rail.health().ok, rail.health().code) == (False, "node_unreachable")
    with pytest.raises(NodeUnreachable):
        list(rail.watch(None, lambda targets: set()))
    rail.break_with(None)
    assert rail.health().ok
