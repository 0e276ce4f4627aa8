"""Merchants are paid out what is certain: no sale that can be double spent or undone."""

from collections.abc import Iterator

import pytest

from bitcache_server.domain.errors import MerchantBalanceTooLow
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.services.housekeeping import checkpoint_balances
from bitcache_server.services.merchant_lock import payable_msat
from bitcache_server.services.merchant_payouts import (
    request_merchant_payout,
    schedule_payouts,
)
from bitcache_server.services.refund import undo_purchase
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    payout_of,
    send,
    set_terms,
    states,
)
from tests.support.purchases import (
    WALLET,
    add_author,
    buy_from_balance,
    fill_wallet,
    sell_shared,
)
from tests.support.shops import held
from tests.support.world import World

WINDOW_S = 60


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    world.rail.fund(1_000_000_000)
    set_terms(world, every_s=60)
    yield world
    assert_payouts_sound(world)


def _payable(shop: World, merchant_id: str = "") -> int:
    shop.session.rollback()
    found_msat = payable_msat(shop.deps, shop.session, merchant_id or shop.merchant_id)
    shop.session.rollback()
    return found_msat


def _balance(shop: World, merchant_id: str = "") -> int:
    return held(shop, chart.merchant(merchant_id or shop.merchant_id))


def _ask(shop: World) -> str:
    payout_id = request_merchant_payout(shop.deps, shop.session, shop.merchant_id).id
    shop.session.rollback()
    return payout_id


def test_sales_without_a_block_wait_and_cost_nobody_anything(shop: World) -> None:
    references = [shop.pay(shop.buy(shop.file_id)) for _ in range(4)]
    assert _balance(shop) == 4 * 6_930_000
    assert _payable(shop) == 0
    with pytest.raises(MerchantBalanceTooLow):
        _ask(shop)
    assert schedule_payouts(shop.deps, shop.session) == 0
    for reference in references:
        shop.rail.double_spend(reference)
    shop.mine()
    shop.check_unconfirmed()
    assert (_balance(shop), send(shop)) == (0, 0)


def test_a_block_makes_them_payable_and_a_reorganisation_takes_that_back(shop: World) -> None:
    shop.pay(shop.buy(shop.file_id))
    shop.mine()
    assert _payable(shop) == _balance(shop) == 6_930_000
    shop.pay(shop.buy(shop.article_id))
    checkpoint_balances(shop.deps, shop.session)
    assert _payable(shop) == 6_930_000
    assert _balance(shop) == 6_930_000 + 4_950_000
    shop.rail.disconnect(1)
    shop.watch()
    assert _payable(shop) == 0
    shop.mine(2)
    assert _payable(shop) == _balance(shop)
    assert payout_of(shop, _ask(shop)).amount_msat == 6_930_000 + 4_950_000 - 141_000


def test_a_co_author_is_not_paid_from_what_is_only_seen(shop: World) -> None:
    bob = add_author(shop)
    shop.pay(shop.buy(sell_shared(shop, 9_000, {bob: 500_000})))
    assert _balance(shop, bob) > 0
    assert (_payable(shop, bob), _payable(shop)) == (0, 0)
    shop.mine()
    assert _payable(shop, bob) == _balance(shop, bob)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_an_undo_never_meets_an_empty_account(shop: World, checkpointed: bool) -> None:
    fill_wallet(shop, 50_000_000)
    buy_from_balance(shop)
    if checkpointed:
        checkpoint_balances(shop.deps, shop.session)
    assert (_balance(shop), _payable(shop)) == (6_930_000, 0)
    shop.clock.pass_time(WINDOW_S)
    assert schedule_payouts(shop.deps, shop.session) == 0
    with write_transaction(shop.session):
        undo_purchase(shop.deps, shop.session, WALLET, shop.file_id)
    assert (_balance(shop), _payable(shop)) == (0, 0)
    buy_from_balance(shop, shop.article_id)
    shop.clock.pass_time(WINDOW_S)
    assert _payable(shop) == 0
    shop.clock.pass_time(1)
    assert _payable(shop) == _balance(shop) == 4_950_000


def test_a_payout_waits_while_its_merchant_owes(shop: World) -> None:
    reference = shop.pay(shop.buy(shop.file_id))
    shop.mine()
    asked = _ask(shop)
    shop.rail.disconnect(1)
    shop.rail.double_spend(reference)
    shop.mine(2)
    shop.check_unconfirmed()
    assert _balance(shop) < 0
    assert send(shop) == 0
    assert states(shop, asked) == ["waiting"]
    assert "taken back" in payout_of(shop, asked).reason
    assert batches(shop) == []
    for _ in range(2):
        shop.pay(shop.buy(shop.file_id))
    assert send(shop) == 0, "what is only seen makes up for nothing"
    shop.mine()
    assert send(shop) == 1
    shop.mine()
    send(shop)
    assert states(shop, asked) == ["settled"]
