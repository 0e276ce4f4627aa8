"""The doctor and a real node, in good health and with every trouble."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.domain.clock import Clock, system_clock
from bitcache_server.models.operations import ChainBlock
from bitcache_server.services.diagnose import diagnose
from bitcache_server.services.findings import Finding
from bitcache_server.settings import Settings, load_settings
from demo.regtest.node import RegtestNode
from tests.support import rpc_proxy
from tests.support.cli import write_config
from tests.support.databases import Databases, open_engine
from tests.support.rpc_proxy import Fault, RpcProxy


@pytest.fixture
def proxy(regtest_node: RegtestNode) -> Iterator[RpcProxy]:
    with RpcProxy(regtest_node.rpc_url) as running:
        yield running


@pytest.fixture
def session(databases: Databases) -> Iterator[Session]:
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with Session(engine) as opened:
            yield opened
        engine.dispose()


@pytest.fixture
def settings(
    tmp_path: Path, session: Session, proxy: RpcProxy, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    url = str(session.get_bind().engine.url)
    config = write_config(tmp_path, database_url=url, node_url=proxy.url)
    monkeypatch.setenv("BITCACHE_CONFIG", str(config))
    return load_settings()


def diagnosed(
    settings: Settings, clock: Clock = system_clock, **changes: Any
) -> dict[str, Finding]:
    deps = wiring.build(settings.model_copy(update=changes), clock=clock)
    return {finding.name: finding for finding in diagnose(deps)}


def watched(session: Session, regtest_node: RegtestNode, height: int) -> None:
    block_hash = regtest_node.rpc.getblockhash(height)
    session.add(ChainBlock(rail="onchain", height=height, hash=block_hash, previous_hash=""))
    session.commit()


def test_a_node_in_good_health(
    settings: Settings, session: Session, regtest_node: RegtestNode
) -> None:
    height = int(regtest_node.rpc.getblockcount())
    watched(session, regtest_node, height)
    found = diagnosed(settings)
    assert found["node"].level == "ok"
    assert f"at block {height}" in found["node"].found
    assert found["watch"] == Finding("watch", "ok", "ok", f"At block {height}.")
    # A young chain has no estimate, and the operator learns what is assumed.
    assert found["fees"].code == "no_fee_estimate"
    assert "2 sat per byte" in found["fees"].found


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.UNAUTHORIZED, "node_unauthorized"),
        (Fault.WRONG_CHAIN, "node_wrong_network"),
        (Fault.SYNCING, "node_syncing"),
        (Fault.WARMING_UP, "node_syncing"),
        (Fault.BUSY, "node_unreachable"),
        (Fault.HTML, "node_unreachable"),
        (Fault.OTHER_JSON, "node_unreachable"),
        (Fault.DIE_IN_ANSWER, "node_unreachable"),
    ],
)
def test_a_node_in_trouble(settings: Settings, proxy: RpcProxy, fault: Fault, code: str) -> None:
    proxy.fault = fault
    finding = diagnosed(settings)["node"]
    assert (finding.level, finding.code) == ("problem", code)
    assert finding.mend


def test_a_wrong_password_is_named_but_not_shown(
    settings: Settings, regtest_node: RegtestNode
) -> None:
    wrong = regtest_node.rpc_url.replace(regtest_node.password, "hunter2-wrong")
    finding = diagnosed(settings, node_url=SecretStr(wrong))["node"]
    assert finding.code == "node_unauthorized"
    assert "hunter2" not in finding.found + finding.mend


def test_a_node_that_is_down(settings: Settings, proxy: RpcProxy) -> None:
    proxy.go_away()
    assert diagnosed(settings)["node"].code == "node_unreachable"
    proxy.come_back()
    assert diagnosed(settings)["node"].code == "ok"


def test_a_modern_node_is_understood(settings: Settings, proxy: RpcProxy) -> None:
    proxy.fault = Fault.MODERN
    assert diagnosed(settings)["node"].level == "ok"


def test_a_watch_that_never_began(settings: Settings) -> None:
    assert diagnosed(settings)["watch"].code == "never_watched"


def test_a_watch_that_is_behind(
    settings: Settings, session: Session, regtest_node: RegtestNode
) -> None:
    height = int(regtest_node.rpc.getblockcount())
    watched(session, regtest_node, height - 4)
    assert diagnosed(settings)["watch"].code == "watch_behind"


def test_a_watch_on_another_chain(settings: Settings, session: Session) -> None:
    session.add(ChainBlock(rail="onchain", height=7, hash="ab" * 32, previous_hash=""))
    session.commit()
    finding = diagnosed(settings)["watch"]
    assert (finding.level, finding.code) == ("problem", "node_chain_unknown")


@pytest.mark.parametrize(("lowest_kept", "code"), [(51, "watch_behind"), (52, "node_pruned")])
def test_a_node_that_deleted_what_is_needed(
    settings: Settings,
    session: Session,
    regtest_node: RegtestNode,
    proxy: RpcProxy,
    monkeypatch: pytest.MonkeyPatch,
    lowest_kept: int,
    code: str,
) -> None:
    def prune(info: dict[str, Any]) -> None:
        info.update(pruned=True, pruneheight=lowest_kept)

    # The proxy's place for changes to this answer; the fault's name does not matter.
    monkeypatch.setitem(rpc_proxy._CHAIN_INFO, Fault.WRONG_CHAIN, prune)
    proxy.fault = Fault.WRONG_CHAIN
    watched(session, regtest_node, 50)
    assert diagnosed(settings)["watch"].code == code


def test_a_clock_behind_the_chain(settings: Settings, regtest_node: RegtestNode) -> None:
    median_time = int(regtest_node.rpc.getblockchaininfo()["mediantime"])
    slow = diagnosed(settings, clock=lambda: median_time - 61)["clock"]
    assert (slow.level, slow.code) == ("problem", "clock_slow")
    assert "61 s behind" in slow.found
    assert "clock" not in diagnosed(settings, clock=lambda: median_time - 60)
