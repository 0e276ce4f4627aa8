"""A real node's coins and the books, to the msat: received, paid out, replaced, stolen."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PreparedPayout
from bitcache_server.services.reconcile import (
    Code,
    book_deposit,
    book_withdrawal,
    reconcile,
)
from demo.regtest.node import RegtestNode
from tests.support.books import open_wallet
from tests.support.node_shop import PRICE_SAT, Reader, catch_up, opened_node_shop
from tests.support.payer import REPLACEABLE, Payer
from tests.support.payout_wallet import NodeWallet
from tests.support.payouts import assert_payouts_sound, batches, send, withdraw
from tests.support.world import World

FLOAT_SAT = 2_000_000


@pytest.fixture
def wallet(regtest_node: RegtestNode) -> NodeWallet:
    return NodeWallet(regtest_node)


@pytest.fixture
def shop(tmp_path: Path, database_url: str, wallet: NodeWallet) -> Iterator[World]:
    """Return a shop whose paying wallet got a float that is booked."""
    settings: dict[str, Any] = {"payout_wallet": wallet.name}
    with opened_node_shop(tmp_path, database_url, wallet.node.rpc_url, **settings) as world:
        catch_up(world)
        open_wallet(world.session, balance_msat=500_000_999)
        _assert_holds(world, 0)
        wallet.fund(FLOAT_SAT)
        assert _look(world) == (Code.SURPLUS, FLOAT_SAT)
        with write_transaction(world.session):
            book_deposit(world.deps, world.session, "onchain", FLOAT_SAT * 1_000)
        _assert_holds(world, FLOAT_SAT)
        yield world
        assert_payouts_sound(world)


def _look(shop: World) -> tuple[Code, int]:
    """Return what a comparison says, and how many sats are there."""
    shop.session.rollback()
    found = reconcile(shop.deps, shop.session, shop.rail)
    assert found.held_msat % 1_000 == 0
    return found.code, found.held_msat // 1_000


def _assert_holds(shop: World, sats: int) -> None:
    assert _look(shop) == (Code.OK, sats)


def test_from_a_payment_to_a_payout_the_books_agree_at_every_step(
    shop: World, wallet: NodeWallet
) -> None:
    reader = Reader(wallet.node)
    purchase, unused = shop.buy(rail="onchain"), shop.buy(rail="onchain")
    reader.pay(purchase, sequence=REPLACEABLE)
    # Nobody has seen it yet; then it is seen, and is not booked before it is confirmed.
    _assert_holds(shop, FLOAT_SAT)
    catch_up(shop)
    _assert_holds(shop, FLOAT_SAT + PRICE_SAT)
    wallet.node.mine(1)
    _assert_holds(shop, FLOAT_SAT + PRICE_SAT)
    catch_up(shop)
    assert shop.state(purchase) == "paid"
    reader.pay(unused, 777)
    wallet.node.mine(1)
    catch_up(shop)
    total_sat = FLOAT_SAT + PRICE_SAT + 777
    _assert_holds(shop, total_sat)
    withdraw(shop, 20_000, address=Payer(wallet.node).address)
    _assert_holds(shop, total_sat)
    send(shop)
    [batch] = batches(shop)
    total_sat -= (batch.amount_msat + batch.fee_msat) // 1_000
    _assert_holds(shop, total_sat)
    wallet.node.mine(1)
    _assert_holds(shop, total_sat)
    send(shop)
    assert batches(shop)[0].state == "settled"
    _assert_holds(shop, total_sat)


def test_a_payout_that_the_operator_replaced_agrees(shop: World, wallet: NodeWallet) -> None:
    withdraw(shop, 20_000, address=Payer(wallet.node).address)
    send(shop)
    [batch] = batches(shop)
    first = PreparedPayout(batch.reference, batch.raw, batch.amount_msat, batch.fee_msat)
    raw = wallet.bumped(first, 3_000)
    # This node replaces nothing by itself.
    wallet.node.rpc.forgettransaction(first.reference)
    wallet.node.rpc.sendrawtransaction(raw)
    left_sat = FLOAT_SAT - (batch.amount_msat + batch.fee_msat) // 1_000 - 3_000
    _assert_holds(shop, left_sat)
    wallet.node.mine(1)
    send(shop)
    _assert_holds(shop, left_sat)


def test_a_coin_that_was_taken_behind_our_back_is_missed(shop: World, wallet: NodeWallet) -> None:
    thief = Payer(wallet.node).address
    txid = wallet.client.call("sendtoaddress", thief, Decimal("0.005"))
    code, held_sat = _look(shop)
    assert code is Code.SHORT
    fee_sat = FLOAT_SAT - 500_000 - held_sat
    assert 0 < fee_sat < 10_000
    wallet.node.mine(1)
    assert _look(shop) == (Code.SHORT, held_sat)
    assert txid
    # Where the operator did it, booking it puts things right.
    with write_transaction(shop.session):
        book_withdrawal(shop.deps, shop.session, "onchain", (500_000 + fee_sat) * 1_000)
    _assert_holds(shop, held_sat)
