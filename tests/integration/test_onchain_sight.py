"""Which unconfirmed payments may be trusted: played with a payer who pays badly."""

import pytest

from bitcache_server.rails.base import MempoolSeen, Observation, PaymentOrder
from bitcache_server.rails.onchain.rail import OnchainRail
from demo.regtest.node import RegtestNode
from tests.support.payer import FINAL, REPLACEABLE, Payer, new_descriptor

AMOUNT_SAT = 5_000
#: BIP 125's limit: this number locks, but does not signal replacement.
LOCKS_ONLY = 0xFFFFFFFE


@pytest.fixture
def rail(regtest_node: RegtestNode) -> OnchainRail:
    return OnchainRail(regtest_node.rpc_url, "regtest")


@pytest.fixture
def payer(regtest_node: RegtestNode) -> Payer:
    return Payer(regtest_node)


class Shop:
    """One address, and what the rail sees of it."""

    def __init__(self, node: RegtestNode, rail: OnchainRail) -> None:
        account = rail.check_account(new_descriptor())
        order = PaymentOrder("in_1", AMOUNT_SAT * 1000, 2_000_000_000, account, 0)
        request = rail.create_request(order)
        self.address, self._target = request.destination, request.target
        self._node, self._rail = node, rail

    def see(self, raw: str) -> Observation:
        """Send the transaction and return the one observation of it."""
        txid = self._node.rpc.sendrawtransaction(raw)
        steps = self._rail.watch(None, {self._target}.intersection)
        [seen] = [o for step in steps if isinstance(step, MempoolSeen) for o in step.observations]
        assert seen.reference == f"{txid}:0"
        assert seen.raw == raw
        return seen


@pytest.fixture
def shop(regtest_node: RegtestNode, rail: OnchainRail) -> Shop:
    return Shop(regtest_node, rail)


def test_a_fair_final_payment_is_trusted(
    regtest_node: RegtestNode, payer: Payer, shop: Shop
) -> None:
    coin = payer.coin(50_000)
    regtest_node.mine(1)
    seen = shop.see(payer.spend(coin, [(shop.address, AMOUNT_SAT)]))
    assert (seen.sight_ok, seen.sight_reason) == (True, "")


def test_an_unconfirmed_parent_does_no_harm_by_itself(payer: Payer, shop: Shop) -> None:
    seen = shop.see(payer.spend(payer.coin(50_000), [(shop.address, AMOUNT_SAT)]))
    assert seen.sight_ok


def test_a_replaceable_payment_is_not_trusted(payer: Payer, shop: Shop) -> None:
    coin = payer.coin(50_000)
    raw = payer.spend(coin, [(shop.address, AMOUNT_SAT)], sequence=REPLACEABLE)
    seen = shop.see(raw)
    assert not seen.sight_ok
    assert "replaced" in seen.sight_reason


def test_a_replaceable_ancestor_is_not_trusted(
    regtest_node: RegtestNode, payer: Payer, shop: Shop
) -> None:
    grandparent = payer.spend(payer.coin(90_000), [(payer.address, 10_000)], sequence=REPLACEABLE)
    regtest_node.rpc.sendrawtransaction(grandparent)
    parent = payer.spend(payer.change_of(grandparent), [(payer.address, 10_000)], sequence=FINAL)
    regtest_node.rpc.sendrawtransaction(parent)
    seen = shop.see(payer.spend(payer.change_of(parent), [(shop.address, AMOUNT_SAT)]))
    assert not seen.sight_ok
    assert "unconfirmed transaction that may be replaced" in seen.sight_reason


def test_once_the_replaceable_ancestor_is_mined_the_payment_is_trusted(
    regtest_node: RegtestNode, payer: Payer, shop: Shop
) -> None:
    parent = payer.spend(payer.coin(90_000), [(payer.address, 10_000)], sequence=REPLACEABLE)
    regtest_node.rpc.sendrawtransaction(parent)
    regtest_node.mine(1)
    seen = shop.see(payer.spend(payer.change_of(parent), [(shop.address, AMOUNT_SAT)]))
    assert seen.sight_ok


def test_a_cheap_payment_is_not_trusted(regtest_node: RegtestNode, payer: Payer) -> None:
    rail = OnchainRail(
        regtest_node.rpc_url,
        "regtest",
        fallback_fee_sat_per_vb=20,
        min_sight_fee_share_percent=50,
    )
    shop = Shop(regtest_node, rail)
    coins = [payer.coin(50_000) for _ in range(2)]
    cheap = shop.see(payer.spend(coins[0], [(shop.address, AMOUNT_SAT)], fee_sat=1_000))
    assert not cheap.sight_ok
    assert "10.0 would be fair" in cheap.sight_reason
    regtest_node.mine(1)
    fair = shop.see(payer.spend(coins[1], [(shop.address, AMOUNT_SAT)], fee_sat=2_000))
    assert fair.sight_ok


def test_a_cheap_parent_holds_a_payment_back(regtest_node: RegtestNode, payer: Payer) -> None:
    rail = OnchainRail(
        regtest_node.rpc_url, "regtest", fallback_fee_sat_per_vb=8, min_sight_fee_share_percent=100
    )
    shop = Shop(regtest_node, rail)
    coin = payer.coin(90_000)
    regtest_node.mine(1)
    parent = payer.spend(coin, [(payer.address, 10_000)], fee_sat=200)
    regtest_node.rpc.sendrawtransaction(parent)
    child = payer.spend(payer.change_of(parent), [(shop.address, AMOUNT_SAT)], fee_sat=1_500)
    seen = shop.see(child)  # more than 8 sat/vB by itself, less together with the parent
    assert not seen.sight_ok
    assert "fair" in seen.sight_reason


def test_passed_lock_times_are_final(regtest_node: RegtestNode, payer: Payer, shop: Shop) -> None:
    height = regtest_node.rpc.getblockcount()
    coin = payer.coin(50_000)
    raw = payer.spend(
        coin, [(shop.address, AMOUNT_SAT)], sequence=LOCKS_ONLY, lock_time=height
    )  # as wallets do against fee sniping
    assert shop.see(raw).sight_ok


def test_a_passed_lock_by_time_is_final(
    regtest_node: RegtestNode, payer: Payer, shop: Shop
) -> None:
    median = regtest_node.rpc.getblockchaininfo()["mediantime"]
    coin = payer.coin(50_000)
    raw = payer.spend(coin, [(shop.address, AMOUNT_SAT)], sequence=LOCKS_ONLY, lock_time=median - 1)
    assert shop.see(raw).sight_ok


def test_a_lock_on_a_final_transaction_means_nothing(payer: Payer, shop: Shop) -> None:
    raw = payer.spend(
        payer.coin(50_000), [(shop.address, AMOUNT_SAT)], sequence=FINAL, lock_time=400_000_000
    )
    assert shop.see(raw).sight_ok


def test_the_fee_rate_for_people_has_a_floor(regtest_node: RegtestNode, rail: OnchainRail) -> None:
    health = rail.health()
    minimum = regtest_node.rpc.getmempoolinfo()["mempoolminfee"]
    assert health.fee_rate_msat_per_vb >= minimum * 100_000_000
