"""A node that is away, slow, wrong or half ready: a clear code, later success, nothing lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitcache_server.domain.errors import (
    NodeChainUnknown,
    NodePruned,
    NodeSyncing,
    NodeUnauthorized,
    NodeUnreachable,
    NodeWrongNetwork,
    RailError,
)
from bitcache_server.jobs import run_jobs
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.operations import ChainBlock
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.tokens.verifier import challenge_of
from demo.regtest.node import RegtestNode
from tests.support.node_shop import Reader, catch_up, opened_node_shop
from tests.support.rpc_proxy import Fault, RpcProxy, patience_s
from tests.support.shops import assert_nothing_lost, read_anew, restarted, transfers
from tests.support.world import World

STALE_AFTER_S = 600

FAULTS: list[tuple[Fault, type[RailError]]] = [
    (Fault.DIE_IN_ANSWER, NodeUnreachable),
    (Fault.DIE_BEFORE_ANSWER, NodeUnreachable),
    (Fault.SLOW, NodeUnreachable),
    (Fault.UNAUTHORIZED, NodeUnauthorized),
    (Fault.BUSY, NodeUnreachable),
    (Fault.WRONG_CHAIN, NodeWrongNetwork),
    (Fault.SYNCING, NodeSyncing),
    (Fault.WARMING_UP, NodeSyncing),
    (Fault.PRUNED, NodePruned),
    (Fault.HTML, NodeUnreachable),
    (Fault.BROKEN_JSON, NodeUnreachable),
]


@pytest.fixture
def proxy(regtest_node: RegtestNode) -> Iterator[RpcProxy]:
    with RpcProxy(regtest_node.rpc_url) as running:
        yield running


@pytest.fixture
def shop(
    tmp_path: Path, database_url: str, proxy: RpcProxy, request: pytest.FixtureRequest
) -> Iterator[World]:
    rail = OnchainRail(proxy.url, "regtest", timeout_s=patience_s(request))
    with opened_node_shop(tmp_path, database_url, proxy.url, rail) as world:
        yield world
        assert_nothing_lost(world)


def _health(shop: World) -> str:
    shop.session.rollback()
    answer = shop.get("/health")
    parts = {part["name"]: part["code"] for part in answer.get_json()["parts"]}
    assert (answer.status_code == 200) == (set(parts.values()) == {"ok"})
    return str(parts["onchain"])


def _refusal(shop: World) -> tuple[int, str]:
    shop.session.rollback()
    body = {"item": shop.article_id, "challenge": challenge_of("v" * 43), "rail": "onchain"}
    answer = shop.post("/v1/invoices", body)
    return answer.status_code, str(answer.get_json().get("code"))


def _offered(shop: World) -> list[str]:
    shop.session.rollback()
    return list(shop.get(f"/v1/items/{shop.article_id}").get_json()["rails"])


def test_a_server_starts_without_its_node(shop: World, proxy: RpcProxy) -> None:
    proxy.go_away()
    assert _health(shop) == "never_checked"
    assert not run_jobs(shop.app, only_once=True)
    assert _health(shop) == "node_unreachable"
    assert _offered(shop) == []
    assert _refusal(shop) == (503, "rail_unavailable")
    # What was sold before and what needs no node goes on.
    assert shop.buy(rail=None).invoice["state"] == "open"
    proxy.come_back()
    assert run_jobs(shop.app, only_once=True)
    assert _health(shop) == "ok"
    assert _offered(shop) == ["onchain"]
    assert shop.buy(rail="onchain").invoice["requests"][0]["address"]


def test_a_node_that_stays_away_is_no_longer_offered(
    shop: World, proxy: RpcProxy, regtest_node: RegtestNode
) -> None:
    reader = Reader(regtest_node)
    catch_up(shop)
    purchase = shop.buy(rail="onchain")
    proxy.go_away()
    reader.pay(purchase)
    regtest_node.mine(1)
    shop.clock.pass_time(STALE_AFTER_S)
    assert not run_jobs(shop.app, only_once=True)
    assert _health(shop) == "node_unreachable"
    # A short absence is no reason to turn readers away.
    assert _offered(shop) == ["onchain"]
    shop.clock.pass_time(1)
    assert _offered(shop) == []
    assert _refusal(shop) == (503, "rail_unavailable")
    proxy.come_back()
    assert run_jobs(shop.app, only_once=True)
    assert _offered(shop) == ["onchain"]
    assert read_anew(shop, purchase)["state"] == "paid"


@pytest.mark.parametrize(
    ("fault", "error"), FAULTS, ids=lambda value: getattr(value, "name", getattr(value, "code", ""))
)
def test_a_fault_is_named_and_nothing_is_lost(
    shop: World,
    proxy: RpcProxy,
    regtest_node: RegtestNode,
    fault: Fault,
    error: type[RailError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Money comes while the node is in trouble, in a block and in the mempool."""
    reader = Reader(regtest_node)
    catch_up(shop)
    in_block, in_mempool = shop.buy(rail="onchain"), shop.buy(rail="onchain")
    reader.pay(in_block)
    regtest_node.mine(1)
    reader.pay(in_mempool)
    proxy.fault = fault
    assert not run_jobs(shop.app, only_once=True)
    assert _health(shop) == error.code
    assert read_anew(shop, in_block)["state"] == "open"
    assert regtest_node.password not in caplog.text
    proxy.fault = Fault.NONE
    assert run_jobs(shop.app, only_once=True)
    assert _health(shop) == "ok"
    for purchase in (in_block, in_mempool):
        assert read_anew(shop, purchase)["state"] == "paid"
        assert shop.claim(purchase).status_code == 200
    assert len(transfers(shop, Kind.RECEIPT)) == 2


def test_a_node_that_dies_between_two_blocks(
    shop: World, proxy: RpcProxy, regtest_node: RegtestNode
) -> None:
    """What was booked before stays, and the next pass goes on from there."""
    reader = Reader(regtest_node)
    catch_up(shop)
    bought = [shop.buy(rail="onchain") for _ in range(3)]
    for purchase in bought:
        reader.pay(purchase)
        regtest_node.mine(1)
    stop_at = proxy.calls["getblock"] + 2
    steps = shop.rail.watch

    def dying(*arguments: object, **named: object) -> Iterator[object]:
        for step in steps(*arguments, **named):  # type: ignore[arg-type]  # passed on
            yield step
            if proxy.calls["getblock"] >= stop_at:
                proxy.fault = Fault.DIE_IN_ANSWER

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.rail, "watch", dying)
        with pytest.raises(NodeUnreachable):
            shop.watch()
    states = [read_anew(shop, purchase)["state"] for purchase in bought]
    assert states == ["paid", "paid", "open"]
    proxy.fault = Fault.NONE
    shop.watch()
    assert [read_anew(shop, purchase)["state"] for purchase in bought] == ["paid"] * 3
    assert len(transfers(shop, Kind.RECEIPT)) == 3


def test_a_node_that_never_saw_our_block(shop: World, regtest_node: RegtestNode) -> None:
    """Another data folder, another chain: the watch stops and says so; no money is invited."""
    catch_up(shop)
    with write_transaction(shop.session):
        tip = shop.session.query(ChainBlock).order_by(ChainBlock.height.desc()).limit(1).one()
        true_hash, tip.hash = tip.hash, "ab" * 32
    with pytest.raises(NodeChainUnknown):
        shop.watch()
    assert not run_jobs(shop.app, only_once=True)
    assert _health(shop) == "node_chain_unknown"
    shop.clock.pass_time(STALE_AFTER_S + 1)
    assert not run_jobs(shop.app, only_once=True)
    assert _refusal(shop) == (503, "rail_unavailable")
    with write_transaction(shop.session):
        shop.session.query(ChainBlock).filter_by(hash="ab" * 32).one().hash = true_hash
    assert run_jobs(shop.app, only_once=True)
    assert _health(shop) == "ok"


def test_the_nodes_own_restart(shop: World, regtest_node: RegtestNode) -> None:
    reader = Reader(regtest_node)
    catch_up(shop)
    purchase = shop.buy(rail="onchain")
    regtest_node.stop()
    try:
        assert not run_jobs(shop.app, only_once=True)
        assert _health(shop) == "node_unreachable"
    finally:
        regtest_node.start()
    reader.pay(purchase)
    with restarted(shop) as again:
        assert run_jobs(again.app, only_once=True)
    assert read_anew(shop, purchase)["state"] == "paid"
