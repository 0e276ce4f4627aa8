"""What became of a payment, asked of a node without a transaction index."""

from dataclasses import replace

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import Observation, PaymentOrder, PaymentRequest
from bitcache_server.rails.onchain import spenders
from bitcache_server.rails.onchain.lookup import Finder
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.rails.onchain.rpc import NodeClient
from demo.regtest.node import RegtestNode
from tests.support.payer import Coin, Payer, new_descriptor
from tests.support.rpc_proxy import RpcProxy

AMOUNT_SAT = 5_000


class Till:
    """A payer with one confirmed coin, and the merchant's address."""

    def __init__(self, node: RegtestNode) -> None:
        self.node = node
        self.rail = OnchainRail(node.rpc_url, "regtest")
        self.payer = Payer(node)
        self.coin = self.payer.coin(50_000)
        node.mine(1)
        account = self.rail.check_account(new_descriptor())
        order = PaymentOrder("in_1", AMOUNT_SAT * 1000, 2_000_000_000, account, 0)
        self.request: PaymentRequest = self.rail.create_request(order)

    def payment(self, coin: Coin | None = None, fee_sat: int = 1_000) -> Observation:
        """Return the observation of a payment that no node has."""
        outputs = [(self.request.destination, AMOUNT_SAT)]
        raw = self.payer.spend(coin or self.coin, outputs, fee_sat=fee_sat)
        txid = self.node.rpc.decoderawtransaction(raw)["txid"]
        amount_msat = AMOUNT_SAT * 1000
        return Observation(
            "onchain", f"{txid}:0", self.request.target, amount_msat, None, True, "", 0, raw
        )

    def send(self, observation: Observation) -> None:
        self.node.rpc.sendrawtransaction(observation.raw)


@pytest.fixture
def till(regtest_node: RegtestNode) -> Till:
    return Till(regtest_node)


def test_a_conflict_in_the_mempool_is_a_failure(till: Till) -> None:
    replaced, winner = till.payment(), till.payment(fee_sat=2_000)
    till.send(winner)
    answer = till.rail.lookup(replaced)
    assert answer.outcome is Outcome.FAILED
    assert winner.reference.partition(":")[0] in answer.detail
    assert till.rail.lookup(winner).outcome is Outcome.PENDING


def test_a_conflict_some_blocks_ago_is_a_failure(till: Till) -> None:
    replaced, winner = till.payment(), till.payment(fee_sat=2_000)
    till.send(winner)
    till.node.mine(5)
    answer = till.rail.lookup(replaced)
    assert answer.outcome is Outcome.FAILED
    assert winner.reference.partition(":")[0] in answer.detail


def test_a_conflict_before_the_search_begins_is_unknown(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spenders, "SEARCH_BLOCKS", 3)
    replaced = till.payment()
    till.send(till.payment(fee_sat=2_000))
    till.node.mine(4)
    assert till.rail.lookup(replaced).outcome is Outcome.UNKNOWN


def test_a_lost_parent_is_no_failure(till: Till) -> None:
    parent = till.payer.spend(till.coin, [(till.payer.address, 20_000)])
    orphan = till.payment(till.payer.change_of(parent))
    assert till.rail.lookup(orphan).outcome is Outcome.UNKNOWN
    till.node.rpc.sendrawtransaction(parent)
    assert till.rail.lookup(orphan).outcome is Outcome.PENDING


def test_the_chain_is_not_searched_twice(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spenders, "SEARCH_BLOCKS", 10)
    parent = till.payer.spend(till.coin, [(till.payer.address, 20_000)])
    orphan = till.payment(till.payer.change_of(parent))
    with RpcProxy(till.node.rpc_url) as proxy:
        finder = Finder(NodeClient(proxy.url, 10))
        assert finder.lookup(orphan).outcome is Outcome.UNKNOWN
        assert proxy.calls["getblock"] == 10
        till.node.mine(2)
        assert finder.lookup(orphan).outcome is Outcome.UNKNOWN
        assert proxy.calls["getblock"] == 12


def test_a_coin_that_the_merchant_moved_is_settled(till: Till) -> None:
    # The merchant's output is spent, so that the node no longer lists it as a coin.
    merchant = Payer(till.node)
    raw = till.payer.spend(till.coin, [(merchant.address, 20_000)])
    txid = till.node.rpc.sendrawtransaction(raw)
    [block_hash] = till.node.mine(1)
    till.node.rpc.sendrawtransaction(
        merchant.spend(Coin(txid, 0, 20_000), [(till.payer.address, 5_000)])
    )
    till.node.mine(1)
    seen = replace(till.payment(), reference=f"{txid}:0", raw=raw)
    answer = till.rail.lookup(seen)
    assert answer.outcome is Outcome.SETTLED
    assert answer.block is not None
    assert answer.block.hash == block_hash


def test_an_index_tells_without_the_transaction(till: Till, rival_node: RegtestNode) -> None:
    payment = till.payment()
    till.send(payment)
    [block_hash] = till.node.mine(1)
    rival_node.submit_blocks_from(till.node)
    unknown = replace(payment, raw="", reference=payment.reference.replace(":0", ":9"))
    indexed = OnchainRail(rival_node.rpc_url, "regtest").lookup(unknown)
    assert indexed.outcome is Outcome.SETTLED
    assert indexed.block is not None
    assert indexed.block.hash == block_hash
    assert till.rail.lookup(unknown).outcome is Outcome.UNKNOWN


def test_what_the_node_will_not_relay_is_unknown(till: Till) -> None:
    cheap = till.payment(fee_sat=1)
    answer = till.rail.lookup(cheap)
    assert answer.outcome is Outcome.UNKNOWN
    assert answer.detail


@pytest.mark.parametrize("raw", ["zz", "00", "ab" * 100])
def test_a_damaged_transaction_is_unknown(till: Till, raw: str) -> None:
    seen = replace(till.payment(), raw=raw)
    assert till.rail.lookup(seen).outcome is Outcome.UNKNOWN
