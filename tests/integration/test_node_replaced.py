"""The node is replaced by one that never saw our last blocks."""

from pathlib import Path

import pytest

from bitcache_server import wiring
from bitcache_server.app import create_bare_app
from bitcache_server.domain.errors import NodeChainUnknown, NodeSyncing
from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.models.operations import ChainBlock
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.services.watch_rail import watch_rail
from demo.regtest.node import RegtestNode
from tests.support.world import make_settings


def _watch(folder: Path, node: RegtestNode) -> dict[int, str]:
    settings = make_settings(folder, f"sqlite:///{folder}/b.db", node_url=node.rpc_url)
    rail = OnchainRail(node.rpc_url, "regtest")
    deps = wiring.build(settings, rails={"onchain": rail})
    app = create_bare_app(deps)
    with app.app_context():
        try:
            watch_rail(deps, db.session(), rail)
            return {block.height: block.hash for block in db.session.query(ChainBlock)}
        finally:
            db.session.remove()
            db.engine.dispose()


def test_our_blocks_lead_back_to_one_that_both_know(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/b.db")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with RegtestNode(tmp_path / "a") as old, RegtestNode(tmp_path / "b") as new:
        old.mine(3)
        new.submit_blocks_from(old)
        _watch(tmp_path, old)
        old.mine(2)
        common = _watch(tmp_path, old)[3]
        with pytest.raises(NodeSyncing):
            _watch(tmp_path, new)  # It is only behind: wait.
        new.mine(3)
        seen = _watch(tmp_path, new)
        assert seen[3] == common
        assert seen[6] == new.rpc.getbestblockhash()
        assert [seen[height] for height in (4, 5, 6)] == [
            new.rpc.getblockhash(height) for height in (4, 5, 6)
        ]


def test_another_chain_altogether_is_refused(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/b.db")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with RegtestNode(tmp_path / "a") as old, RegtestNode(tmp_path / "b") as other:
        old.mine(2)
        _watch(tmp_path, old)
        before = _watch(tmp_path, old)
        other.mine(5)
        with pytest.raises(NodeChainUnknown):
            _watch(tmp_path, other)
        assert _watch(tmp_path, old) == before
