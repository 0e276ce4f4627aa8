"""Payouts by a real node: they confirm, they get lost, they are replaced, processes die."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import AddressInvalid
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.rails.base import PreparedPayout
from bitcache_server.rails.onchain.addresses import script_of
from bitcache_server.services.merchant_payouts import request_merchant_payout, set_payout_terms
from bitcache_server.services.withdraw import quote_withdrawal
from demo.regtest.node import RegtestNode
from tests.support.books import open_wallet
from tests.support.node_shop import Reader, catch_up, opened_node_shop
from tests.support.payer import Payer
from tests.support.payout_wallet import NodeWallet
from tests.support.payouts import assert_payouts_sound, batches, earn, send, states, withdraw
from tests.support.rpc_proxy import Fault, RpcProxy
from tests.support.shops import held, transfers
from tests.support.workers import Moment, Server, finish, pay_out_and_die, spawn
from tests.support.world import Purchase, World

FUNDS_SAT = 2_000_000
CONFLICT_DEPTH = 3


@dataclass
class Till:
    """A shop, its paying wallet, and addresses of people who are paid."""

    shop: World
    node: RegtestNode
    wallet: NodeWallet
    paid: list[str] = field(default_factory=list)

    def ask(self, amount_sat: int = 20_000) -> str:
        """Let a reader with their own address withdraw; return the payout's id."""
        self.paid.append(Payer(self.node).address)
        key = f"key-{len(self.paid)}"
        return withdraw(self.shop, amount_sat, address=self.paid[-1], key=key)

    def mine(self, blocks: int = 1) -> None:
        """Add blocks and let the jobs ask once after each."""
        for _ in range(blocks):
            self.node.mine(1)
            send(self.shop)

    def received(self) -> list[int]:
        """Return sats that each address has in the chain and in the mempool, as a stranger sees."""
        scripts = [script_of(address).data.hex() for address in self.paid]
        targets = dict.fromkeys(scripts, 0)
        rpc = self.node.rpc
        for height in range(self.start + 1, rpc.getblockcount() + 1):
            for tx in rpc.getblock(rpc.getblockhash(height), 2)["tx"]:
                _add(targets, tx)
        for txid in rpc.getrawmempool():
            _add(targets, rpc.getrawtransaction(txid, True))
        return [targets[script] for script in scripts]

    def __post_init__(self) -> None:
        self.start = int(self.node.rpc.getblockcount())

    def prepared(self) -> PreparedPayout:
        """Return the one transaction that is not final, as it is stored."""
        [newest] = [batch for batch in batches(self.shop) if batch.state in ("signed", "sent")]
        return PreparedPayout(newest.reference, newest.raw, newest.amount_msat, newest.fee_msat)


def _add(targets: dict[str, int], tx: dict[str, Any]) -> None:
    for out in tx["vout"]:
        script = out["scriptPubKey"]["hex"]
        if script in targets:
            targets[script] += round(out["value"] * 100_000_000)


@pytest.fixture
def till(tmp_path: Path, database_url: str, regtest_node: RegtestNode) -> Iterator[Till]:
    wallet = NodeWallet(regtest_node)
    wallet.fund(FUNDS_SAT)
    settings: dict[str, Any] = {
        "payout_wallet": wallet.name,
        "payout_conflict_confirmations": CONFLICT_DEPTH,
    }
    url = regtest_node.rpc_url
    with opened_node_shop(tmp_path, database_url, url, **settings) as shop:
        catch_up(shop)
        open_wallet(shop.session, balance_msat=500_000_999)
        yield Till(shop, regtest_node, wallet)
        assert_payouts_sound(shop)


def _assert_paid_once(till: Till, *amounts_sat: int) -> None:
    """Payees have what they should, and the books what the wallet says."""
    assert till.received() == list(amounts_sat)
    gone_msat = FUNDS_SAT * 1_000 - till.shop.rail.held_msat([])
    assert held(till.shop, chart.clearing("onchain")) == gone_msat
    assert_payouts_sound(till.shop)


def test_it_confirms_and_the_books_agree_to_the_msat(till: Till) -> None:
    shop, address = till.shop, Payer(till.node).address
    quote = quote_withdrawal(shop.deps, shop.session, "wa_1", address.upper(), None)
    assert (quote.address, quote.total_msat) == (address, 500_000_000)
    till.paid.append(address)
    reader = withdraw(shop, None, address=address)
    merchants = Payer(till.node).address
    till.paid.append(merchants)
    earn(shop, 70_000_123)
    set_payout_terms(shop.deps, shop.session, shop.merchant_id, address=merchants)
    theirs = request_merchant_payout(shop.deps, shop.session, shop.merchant_id).id
    assert send(shop) == 2
    assert states(shop, reader, theirs) == ["sending"] * 2
    [batch] = batches(shop)
    assert till.node.rpc.getrawmempool() == [batch.reference]
    till.mine()
    assert states(shop, reader, theirs) == ["settled"] * 2
    fee_sat = quote.fee_msat // 1_000
    _assert_paid_once(till, 500_000 - fee_sat, 70_000 - fee_sat)
    assert held(shop, chart.wallet("wa_1")) == 999
    assert held(shop, chart.NETWORK_FEES) == 2 * quote.fee_msat - batch.fee_msat


@pytest.mark.parametrize(
    "address",
    [
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081",
        "lnbcrt1pqqq",
    ],
)
def test_an_address_of_elsewhere(till: Till, address: str) -> None:
    with pytest.raises(AddressInvalid):
        withdraw(till.shop, address=address)
    assert transfers(till.shop, Kind.RESERVE) == []


def test_the_node_dies_between_sending_and_its_answer(
    tmp_path: Path, database_url: str, regtest_node: RegtestNode
) -> None:
    wallet = NodeWallet(regtest_node)
    wallet.fund(FUNDS_SAT)
    with (
        RpcProxy(regtest_node.rpc_url) as proxy,
        opened_node_shop(tmp_path, database_url, proxy.url, payout_wallet=wallet.name) as shop,
    ):
        catch_up(shop)
        open_wallet(shop.session, balance_msat=500_000_000)
        till = Till(shop, regtest_node, wallet)
        asked = till.ask()
        proxy.fault, proxy.only = Fault.DIE_IN_ANSWER, "sendrawtransaction"
        assert send(shop) == 1
        assert [batch.state for batch in batches(shop)] == ["signed"]
        assert held(shop, chart.payout(asked)) > 20_000_000
        proxy.fault = Fault.NONE
        regtest_node.rpc.forgettransaction(batches(shop)[0].reference)
        send(shop)
        till.mine()
        assert states(shop, asked) == ["settled"]
        assert len(batches(shop)) == 1
        _assert_paid_once(till, 20_000)


@pytest.mark.parametrize(
    ("moment", "number", "stored"),
    [
        ("before commit", 1, 0),  # signed, not stored
        ("after commit", 1, 1),  # stored, not sent
        ("before commit", 2, 1),  # sent, not noted
        ("after commit", 2, 1),  # sent and noted
    ],
)
def test_killed_while_it_pays(till: Till, moment: Moment, number: int, stored: int) -> None:
    asked = [till.ask(), till.ask(30_000)]
    known = till.shop.deps.settings
    assert known.node_url is not None
    settings = {
        "rails": ["onchain"],
        "node_url": known.node_url.get_secret_value(),
        "onchain_descriptor": known.onchain_descriptor,
        "payout_wallet": till.wallet.name,
    }
    now = till.shop.clock.now
    server = Server(known.database_url, known.data_dir, None, now, settings)
    assert finish(spawn(pay_out_and_die, server, moment, number)) == -signal.SIGKILL
    before = [batch.raw for batch in batches(till.shop)]
    assert len(before) == stored
    assert sum(till.received()) == (50_000 if number == 2 else 0)
    send(till.shop)
    assert [batch.raw for batch in batches(till.shop)][:stored] == before, "never another one"
    till.mine()
    assert states(till.shop, *asked) == ["settled"] * 2
    assert len(batches(till.shop)) == 1
    _assert_paid_once(till, 20_000, 30_000)


def test_dropped_from_the_mempool(till: Till) -> None:
    asked = till.ask()
    send(till.shop)
    till.node.rpc.forgettransaction(till.prepared().reference)
    assert till.received() == [0]
    send(till.shop)
    assert till.received() == [20_000]
    till.mine()
    assert states(till.shop, asked) == ["settled"]
    _assert_paid_once(till, 20_000)


def test_replaced_by_the_operator_with_a_higher_fee(till: Till) -> None:
    asked = [till.ask(), till.ask(30_000)]
    send(till.shop)
    before = till.prepared()
    raw = till.wallet.bumped(before)
    till.node.rpc.forgettransaction(before.reference)
    txid = str(till.node.rpc.sendrawtransaction(raw))
    send(till.shop)
    assert till.prepared().reference == txid
    assert till.prepared().fee_msat == before.fee_msat + 2_000_000
    till.mine()
    assert states(till.shop, *asked) == ["settled"] * 2
    _assert_paid_once(till, 20_000, 30_000)


def test_a_conflict_in_the_chain_pays_again_only_when_deep(
    till: Till, rival_node: RegtestNode
) -> None:
    asked = till.ask()
    send(till.shop)
    failed = till.prepared()
    raw = till.wallet.spent_otherwise(failed)
    rival_node.rpc.sendrawtransaction(raw)
    rival_node.mine(1)
    till.node.submit_blocks_from(rival_node)
    till.wallet.fund(FUNDS_SAT)
    for _ in range(CONFLICT_DEPTH - 2):
        assert send(till.shop) == 0
        assert states(till.shop, asked) == ["sending"]
        till.node.mine(1)
    assert send(till.shop) == 1
    assert till.prepared().reference != failed.reference
    till.mine()
    assert states(till.shop, asked) == ["settled"]
    assert till.received() == [20_000]
    assert len(transfers(till.shop, Kind.PAYOUT)) == 1


def test_a_reader_s_money_comes_in_and_goes_out(till: Till) -> None:
    """A sale by a real payment, the merchant's payout of it, and the books to the msat."""
    shop, reader = till.shop, Reader(till.node)
    shop.watch()
    purchase: Purchase = shop.buy(rail="onchain")
    reader.pay(purchase, 50_000)
    till.node.mine(1)
    shop.watch()
    earned = held(shop, chart.merchant(shop.merchant_id))
    assert earned == 4_950_000, "one per cent is the operator's"
    earn(shop, 10_000_000)
    till.paid.append(Payer(till.node).address)
    set_payout_terms(shop.deps, shop.session, shop.merchant_id, address=till.paid[0])
    asked = request_merchant_payout(shop.deps, shop.session, shop.merchant_id)
    asked_id, fee_msat = asked.id, asked.fee_msat
    send(shop)
    till.mine()
    assert states(shop, asked_id) == ["settled"]
    assert till.received() == [14_950 - fee_msat // 1_000]
    assert held(shop, chart.merchant(shop.merchant_id)) == 0
