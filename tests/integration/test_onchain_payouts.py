"""Payouts from a node's wallet: kinds of address, coins, conflicts, a node in trouble."""

import traceback
from collections.abc import Iterator

import pytest
from embit.script import Script

from bitcache_server.domain.errors import (
    NodeRejected,
    NodeSyncing,
    NodeUnauthorized,
    NodeUnreachable,
    NodeWrongNetwork,
    PayoutLimit,
    PayoutsUnavailable,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.rails.onchain import payout_lookup
from bitcache_server.rails.onchain.addresses import dust_sat
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.rails.onchain.transactions import read_raw
from bitcache_server.rails.onchain.wallet import PayoutWallet, Unsigned
from demo.regtest.node import RegtestNode
from tests.support.payer import REGTEST, Coin, Payer
from tests.support.payout_wallet import NodeWallet
from tests.support.rpc_proxy import IMPATIENT_S, PATIENT_S, Fault, RpcProxy

CONFLICT_CONFIRMATIONS = 3
AMOUNT_SAT = 20_000
#: Five kinds of script with hashes that nobody knows the keys of.
SCRIPTS = [
    Script(b"\x76\xa9\x14" + b"\x07" * 20 + b"\x88\xac"),
    Script(b"\xa9\x14" + b"\x07" * 20 + b"\x87"),
    Script(b"\x00\x14" + b"\x07" * 20),
    Script(b"\x00\x20" + b"\x07" * 32),
    Script(b"\x51\x20" + b"\x07" * 32),
]
FAULTS: list[tuple[Fault, type[RailError]]] = [
    (Fault.DIE_BEFORE_ANSWER, NodeUnreachable),
    (Fault.DIE_IN_ANSWER, NodeUnreachable),
    (Fault.SLOW, NodeUnreachable),
    (Fault.UNAUTHORIZED, NodeUnauthorized),
    (Fault.BUSY, NodeUnreachable),
    (Fault.WRONG_CHAIN, NodeWrongNetwork),
    (Fault.SYNCING, NodeSyncing),
    (Fault.WARMING_UP, NodeSyncing),
]


class Desk:
    """A wallet of its own, and the rail that pays out of it."""

    def __init__(self, node: RegtestNode, rival: RegtestNode) -> None:
        self.node, self.rival = node, rival
        self.wallet = NodeWallet(node)
        self.rail = self.rail_at(node.rpc_url)

    def rail_at(self, rpc_url: str, timeout_s: float = PATIENT_S) -> OnchainRail:
        return OnchainRail(
            rpc_url,
            "regtest",
            timeout_s=timeout_s,
            payout_wallet=self.wallet.name,
            conflict_confirmations=CONFLICT_CONFIRMATIONS,
        )

    def order(self, amount_sat: int = AMOUNT_SAT) -> PayoutOrder:
        return PayoutOrder("po_1", Payer(self.node).address, amount_sat * 1000)

    def prepare(self, *amounts_sat: int) -> PreparedPayout:
        return self.rail.prepare_payout([self.order(sat) for sat in amounts_sat or (AMOUNT_SAT,)])

    def sent(self, *amounts_sat: int) -> PreparedPayout:
        prepared = self.prepare(*amounts_sat)
        assert self.rail.send_payout(prepared) is Outcome.PENDING
        return prepared

    def mine_elsewhere(self, raw: str, blocks: int = 1) -> None:
        """Let other miners take a transaction that our node never heard of."""
        self.rival.submit_blocks_from(self.node)
        self.rival.rpc.sendrawtransaction(raw)
        self.rival.mine(blocks)
        self.node.submit_blocks_from(self.rival)


@pytest.fixture
def desk(regtest_node: RegtestNode, rival_node: RegtestNode) -> Desk:
    return Desk(regtest_node, rival_node)


@pytest.fixture
def proxy(regtest_node: RegtestNode) -> Iterator[RpcProxy]:
    with RpcProxy(regtest_node.rpc_url) as running:
        yield running


def test_each_kind_of_address_gets_its_least_amount(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    orders = [
        PayoutOrder(f"po_{n}", str(script.address(REGTEST)), dust_sat(script) * 1000)
        for n, script in enumerate(SCRIPTS)
    ]
    prepared = desk.rail.prepare_payout(orders)
    assert desk.rail.send_payout(prepared) is Outcome.PENDING
    paid = read_raw(prepared.raw).outputs[: len(SCRIPTS)]
    assert [(s.data.hex(), dust_sat(s)) for s in SCRIPTS] == list(paid)
    for order in orders:
        less = PayoutOrder(order.payout_id, order.destination, order.amount_msat - 1000)
        with pytest.raises(PayoutLimit, match="at least"):
            desk.rail.prepare_payout([less])


@pytest.mark.parametrize(("rate", "fee_sat"), [(2, [282, 306]), (10, [1410, 1530])])
def test_the_fee_is_that_of_a_small_transaction(
    regtest_node: RegtestNode, rate: int, fee_sat: list[int]
) -> None:
    rail = OnchainRail(regtest_node.rpc_url, "regtest", fallback_fee_sat_per_vb=rate)
    segwit, taproot = (str(SCRIPTS[kind].address(REGTEST)) for kind in (2, 4))
    assert [rail.payout_fee_msat(to, 1_000_000) for to in (segwit, taproot)] == [
        sat * 1000 for sat in fee_sat
    ]


def test_the_node_accepts_it_at_the_rate_that_was_asked_for(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    prepared = desk.prepare()
    [verdict] = desk.node.rpc.testmempoolaccept([prepared.raw])
    assert verdict["allowed"]
    assert int(verdict["fees"]["base"] * 100_000_000) * 1000 == prepared.fee_msat
    assert prepared.fee_msat / 1000 / verdict["vsize"] == pytest.approx(2, rel=0.05)
    signals = [vin["sequence"] for vin in desk.node.rpc.decoderawtransaction(prepared.raw)["vin"]]
    assert all(sequence < 0xFFFFFFFE for sequence in signals)  # so that it can be bumped


def test_a_hundred_payees_share_one_transaction(desk: Desk) -> None:
    desk.wallet.fund(500_000)
    prepared = desk.sent(*range(1_000, 1_100))
    assert [sat for _, sat in read_raw(prepared.raw).outputs[:100]] == list(range(1_000, 1_100))
    assert prepared.fee_msat < 100 * desk.rail.payout_fee_msat(desk.order().destination, 1_000_000)


def test_change_that_is_not_confirmed_pays_the_next(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    first, second = desk.sent(), desk.sent()
    assert read_raw(second.raw).inputs[0][0] == first.reference
    spent_msat = sum(p.amount_msat + p.fee_msat for p in (first, second))
    assert desk.rail.held_msat([]) == 100_000_000 - spent_msat
    desk.node.mine(1)
    assert desk.rail.lookup_payout(first).outcome is Outcome.SETTLED
    assert desk.rail.lookup_payout(second).outcome is Outcome.SETTLED


def test_a_payout_whose_outputs_were_all_spent_is_still_found(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    payee = Payer(desk.node)
    prepared = desk.rail.prepare_payout([PayoutOrder("po_1", payee.address, 20_000_000)])
    desk.rail.send_payout(prepared)
    desk.node.mine(1)
    desk.rail.send_payout(desk.prepare(70_000))
    moved = payee.spend(
        Coin(prepared.reference, 0, AMOUNT_SAT), [(Payer(desk.node).address, 10_000)]
    )
    desk.node.rpc.sendrawtransaction(moved)
    desk.node.mine(1)
    found = desk.rail.lookup_payout(prepared)
    assert (found.outcome, found.confirmations) == (Outcome.SETTLED, 2)


def test_a_wallet_that_is_not_there_is_named(regtest_node: RegtestNode) -> None:
    rail = OnchainRail(regtest_node.rpc_url, "regtest", payout_wallet="nobody's")
    address = str(SCRIPTS[2].address(REGTEST))
    with pytest.raises(PayoutsUnavailable, match="nobody's"):
        rail.prepare_payout([PayoutOrder("po_1", address, 1_000_000)])
    assert rail.health().ok  # payments are still seen


def test_without_a_name_the_nodes_own_wallet_pays(regtest_node: RegtestNode) -> None:
    rail = OnchainRail(regtest_node.rpc_url, "regtest")
    order = PayoutOrder("po_1", str(SCRIPTS[2].address(REGTEST)), 1_000_000)
    assert rail.prepare_payout([order]).amount_msat == 1_000_000


def test_coins_of_a_payout_that_cannot_be_sent_stay_its_own(desk: Desk, proxy: RpcProxy) -> None:
    desk.wallet.fund(30_000, 30_000)
    proxy.fault, proxy.only = Fault.DIE_BEFORE_ANSWER, "sendrawtransaction"
    first = desk.prepare()
    assert desk.rail_at(proxy.url).send_payout(first) is Outcome.UNKNOWN
    second = desk.sent()
    assert not set(read_raw(first.raw).inputs) & set(read_raw(second.raw).inputs)
    assert desk.rail.held_msat([]) == 60_000_000 - second.amount_msat - second.fee_msat
    with pytest.raises(PayoutsUnavailable):
        desk.prepare()
    assert desk.rail.lookup_payout(first).outcome is Outcome.PENDING
    desk.node.mine(1)
    assert desk.wallet.client.call("listlockunspent") == []


def test_a_failed_payout_gives_its_other_coins_free(desk: Desk, proxy: RpcProxy) -> None:
    desk.wallet.fund(30_000, 30_000)
    prepared = desk.prepare(50_000)
    proxy.fault, proxy.only = Fault.DIE_BEFORE_ANSWER, "sendrawtransaction"
    desk.rail_at(proxy.url).send_payout(prepared)
    gone, left = read_raw(prepared.raw).inputs
    raw = desk.wallet.signed([gone], {Payer(desk.node).address: 28_000})
    desk.mine_elsewhere(raw, CONFLICT_CONFIRMATIONS)
    assert desk.rail.lookup_payout(prepared).outcome is Outcome.FAILED
    [coin] = desk.wallet.client.call("listunspent", 0)
    assert (coin["txid"], coin["vout"]) == left


@pytest.mark.parametrize("was_sent", [True, False])
def test_a_payout_of_void_change_fails_when_that_is_deep(desk: Desk, was_sent: bool) -> None:
    desk.wallet.fund(100_000)
    parent = desk.sent()
    child = desk.sent() if was_sent else desk.prepare()
    desk.mine_elsewhere(desk.wallet.spent_otherwise(parent))
    first = desk.rail.lookup_payout(child)
    assert (first.outcome, first.confirmations) == (Outcome.UNKNOWN, 1)
    desk.node.mine(CONFLICT_CONFIRMATIONS - 1)
    assert desk.rail.lookup_payout(child).outcome is Outcome.FAILED
    assert desk.rail.lookup_payout(parent).outcome is Outcome.FAILED


def test_a_replacement_that_pays_more_people_is_adopted(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    prepared = desk.sent()
    outputs = desk.wallet.outputs(prepared)
    outputs[list(outputs)[-1]] -= 12_000
    outputs[Payer(desk.node).address] = 10_000
    desk.mine_elsewhere(desk.wallet.signed(read_raw(prepared.raw).inputs, outputs))
    found = desk.rail.lookup_payout(prepared)
    assert found.outcome is Outcome.SETTLED
    assert found.carrier.amount_msat == prepared.amount_msat


def test_a_bump_of_a_bump_is_adopted_wherever_the_change_is(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    prepared = desk.sent(10_000, 20_000)
    carrier = prepared
    for fee_sat in (1_000, 2_000):
        payees = desk.wallet.outputs(prepared)
        change, change_sat = payees.popitem()
        # bumpfee puts the change anywhere.
        raw = desk.wallet.signed(
            read_raw(prepared.raw).inputs, {change: change_sat - fee_sat, **payees}
        )
        desk.node.rpc.forgettransaction(carrier.reference)
        txid = desk.node.rpc.sendrawtransaction(raw)
        found = desk.rail.lookup_payout(carrier)
        assert (found.outcome, found.carrier.reference) == (Outcome.PENDING, txid)
        assert found.carrier.fee_msat == prepared.fee_msat + fee_sat * 1000
        carrier = found.carrier
    desk.node.mine(1)
    assert desk.rail.lookup_payout(carrier).outcome is Outcome.SETTLED
    assert desk.rail.held_msat([]) == 100_000_000 - carrier.amount_msat - carrier.fee_msat


@pytest.mark.parametrize("less_sat", [1, 10_000])
def test_a_replacement_that_pays_one_of_them_less_is_not_adopted(desk: Desk, less_sat: int) -> None:
    desk.wallet.fund(100_000)
    prepared = desk.sent(10_001, 20_000)
    outputs = desk.wallet.outputs(prepared)
    first, _, change = outputs
    outputs[first] -= less_sat
    outputs[change] -= 1_000
    if outputs[first] < 546:
        del outputs[first]
    raw = desk.wallet.signed(read_raw(prepared.raw).inputs, outputs)
    desk.mine_elsewhere(raw, CONFLICT_CONFIRMATIONS)
    assert desk.rail.lookup_payout(prepared).outcome is Outcome.FAILED


def test_a_conflict_in_the_mempool_is_no_failure(desk: Desk) -> None:
    desk.wallet.fund(100_000)
    prepared = desk.prepare()
    desk.node.rpc.sendrawtransaction(desk.wallet.spent_otherwise(prepared))
    found = desk.rail.lookup_payout(prepared)
    assert (found.outcome, found.confirmations) == (Outcome.UNKNOWN, 0)
    assert desk.rail.send_payout(prepared) is Outcome.UNKNOWN


def test_the_search_goes_deeper_than_what_makes_a_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payout_lookup, "SEARCH_BLOCKS", 1)
    desk.wallet.fund(100_000)
    rail = desk.rail_at(desk.node.rpc_url)
    deep, too_deep = desk.prepare(), desk.prepare()
    desk.mine_elsewhere(desk.wallet.spent_otherwise(deep), CONFLICT_CONFIRMATIONS + 1)
    assert rail.lookup_payout(deep).outcome is Outcome.FAILED
    desk.node.mine(1)
    assert rail.lookup_payout(too_deep).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda value: getattr(value, "name", ""))
def test_a_node_in_trouble_is_named_and_frees_no_money(
    desk: Desk, proxy: RpcProxy, fault: Fault, error: type[RailError]
) -> None:
    desk.wallet.fund(100_000)
    prepared = desk.prepare()
    rail = desk.rail_at(proxy.url, timeout_s=IMPATIENT_S if fault is Fault.SLOW else PATIENT_S)
    proxy.fault = fault
    for question in (lambda: rail.prepare_payout([desk.order()]), lambda: rail.held_msat([])):
        with pytest.raises(RailError) as caught:
            question()
        assert type(caught.value) is error
        assert desk.node.password not in "".join(traceback.format_exception(caught.value))
    found = rail.lookup_payout(prepared)
    assert (found.outcome, found.carrier) == (Outcome.UNKNOWN, prepared)
    assert desk.node.password not in found.detail
    assert desk.node.rpc.getrawmempool() == []
    proxy.fault = Fault.NONE
    assert rail.lookup_payout(prepared).outcome is Outcome.PENDING


def test_the_answers_of_newer_nodes_are_understood(desk: Desk, proxy: RpcProxy) -> None:
    desk.wallet.fund(100_000)
    proxy.fault = Fault.MODERN
    rail = desk.rail_at(proxy.url)
    prepared = rail.prepare_payout([desk.order()])
    assert rail.send_payout(prepared) is Outcome.PENDING
    assert rail.lookup_payout(prepared).outcome is Outcome.PENDING
    rest_msat = 100_000_000 - prepared.amount_msat - prepared.fee_msat
    assert rail.held_msat([f"{'ab' * 32}:{n}" for n in range(1_200)]) == rest_msat


def test_another_transaction_than_was_asked_for_is_not_signed_off(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.wallet.fund(100_000)
    honest = PayoutWallet.fund
    thief = str(SCRIPTS[2].address(REGTEST))

    def fund(wallet: PayoutWallet, outputs: dict[str, int], rate: int) -> Unsigned:
        return honest(wallet, dict.fromkeys([thief], sum(outputs.values())), rate)

    monkeypatch.setattr(PayoutWallet, "fund", fund)
    with pytest.raises(NodeRejected, match="another transaction"):
        desk.prepare()
