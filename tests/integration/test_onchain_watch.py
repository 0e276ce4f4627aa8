"""Walking the chain while it moves, and what a block costs."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import count

import pytest

from bitcache_server.rails.base import (
    BlockConnected,
    BlockDisconnected,
    Cursor,
    MempoolSeen,
    Observation,
    PaymentOrder,
    PaymentRequest,
)
from bitcache_server.rails.onchain.rail import OnchainRail
from demo.regtest.node import RegtestNode
from tests.support.payer import Payer, new_descriptor
from tests.support.rpc_proxy import RpcProxy

AMOUNT_SAT = 5_000
PRICE_MSAT = AMOUNT_SAT * 1000


def _nothing(scripts: Sequence[str]) -> AbstractSet[str]:
    return frozenset()


def _tip(node: RegtestNode) -> Cursor:
    return Cursor(node.rpc.getblockcount(), node.rpc.getbestblockhash())


@pytest.fixture
def rail(regtest_node: RegtestNode) -> OnchainRail:
    return OnchainRail(regtest_node.rpc_url, "regtest")


@pytest.fixture
def requests(rail: OnchainRail) -> list[PaymentRequest]:
    account = rail.check_account(new_descriptor())
    orders = (PaymentOrder(f"in_{i}", PRICE_MSAT, 2_000_000_000, account, i) for i in count())
    return [rail.create_request(next(orders)) for _ in range(3)]


def test_blocks_that_arrive_during_the_walk_are_walked(
    regtest_node: RegtestNode, rail: OnchainRail
) -> None:
    cursor = _tip(regtest_node)
    regtest_node.mine(1)
    steps = rail.watch(cursor, _nothing)
    first = next(steps)
    [late] = regtest_node.mine(1)
    rest = list(steps)
    assert isinstance(first, BlockConnected)
    assert [step.block.hash for step in rest if isinstance(step, BlockConnected)] == [late]


def test_a_reorganisation_during_the_walk_is_followed(
    regtest_node: RegtestNode, rival_node: RegtestNode, rail: OnchainRail
) -> None:
    cursor = _tip(regtest_node)
    gone = regtest_node.mine(2)
    steps = rail.watch(cursor, _nothing)
    first = next(steps)
    assert isinstance(first, BlockConnected)
    assert first.block.hash == gone[0]
    new = rival_node.mine(3)  # of which the first comes right after the cursor
    regtest_node.submit_blocks_from(rival_node)
    rest = list(steps)
    assert rest[0] == BlockDisconnected(cursor.height + 1, gone[0], cursor.hash)
    assert [step.block.hash for step in rest[1:] if isinstance(step, BlockConnected)] == new


def test_the_walk_can_begin_at_the_genesis_block(
    regtest_node: RegtestNode, rail: OnchainRail
) -> None:
    genesis = regtest_node.rpc.getblockhash(0)
    first = next(rail.watch(Cursor(0, genesis), _nothing, with_mempool=False))
    assert isinstance(first, BlockConnected)
    assert (first.block.height, first.previous_hash) == (1, genesis)


def test_only_new_mempool_transactions_are_fetched(
    regtest_node: RegtestNode, requests: list[PaymentRequest]
) -> None:
    regtest_node.mine(1)
    with RpcProxy(regtest_node.rpc_url) as proxy:
        rail = OnchainRail(proxy.url, "regtest")
        for paid, request in enumerate(requests, 1):
            regtest_node.pay(request.destination, AMOUNT_SAT)
            list(rail.watch(_tip(regtest_node), _nothing))
            assert proxy.calls["getrawtransaction"] == paid
        regtest_node.mine(1)
        list(rail.watch(_tip(regtest_node), _nothing))
        assert proxy.calls["getrawtransaction"] == len(requests)
        # Nothing matched, so nothing was asked about fees and ancestors.
        assert proxy.calls["getmempoolentry"] == proxy.calls["estimatesmartfee"] == 0


def test_a_block_costs_the_same_calls_however_much_is_in_it(
    regtest_node: RegtestNode, requests: list[PaymentRequest]
) -> None:
    targets = {request.target for request in requests}
    with RpcProxy(regtest_node.rpc_url) as proxy:
        rail = OnchainRail(proxy.url, "regtest")
        calls = []
        for paid in (0, len(requests)):
            cursor = _tip(regtest_node)
            for request in requests[:paid]:
                regtest_node.pay(request.destination, AMOUNT_SAT)
            regtest_node.mine(1)
            before = proxy.calls.total()
            steps = list(rail.watch(cursor, targets.intersection, with_mempool=False))
            calls.append(proxy.calls.total() - before)
            assert [len(s.observations) for s in steps if isinstance(s, BlockConnected)] == [paid]
        assert calls[0] == calls[1]


def test_a_watch_on_an_unconfirmed_chain_of_payments(
    regtest_node: RegtestNode, rail: OnchainRail, requests: list[PaymentRequest]
) -> None:
    """Each payment spends the change of the one before; all are seen, each once."""
    payer = Payer(regtest_node)
    coin = payer.coin(90_000)
    references = []
    for request in requests:
        raw = payer.spend(coin, [(request.destination, AMOUNT_SAT)])
        references.append(f"{regtest_node.rpc.sendrawtransaction(raw)}:0")
        coin = payer.change_of(raw)
    targets = {request.target for request in requests}
    seen = _unconfirmed(rail, regtest_node, targets)
    assert sorted(o.reference for o in seen) == sorted(references)
    assert all(o.sight_ok for o in seen)


def _unconfirmed(rail: OnchainRail, node: RegtestNode, targets: set[str]) -> list[Observation]:
    steps = rail.watch(_tip(node), targets.intersection)
    return [o for step in steps if isinstance(step, MempoolSeen) for o in step.observations]


@pytest.mark.parametrize("amount_sat", [294, 546, 12_345, 123_456_789])
def test_amounts_are_exact(
    regtest_node: RegtestNode, rail: OnchainRail, requests: list[PaymentRequest], amount_sat: int
) -> None:
    txid = regtest_node.pay(requests[0].destination, amount_sat)
    [seen] = _unconfirmed(rail, regtest_node, {requests[0].target})
    assert (seen.reference.partition(":")[0], seen.amount_msat) == (txid, amount_sat * 1000)
