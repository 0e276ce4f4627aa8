"""Co-authors are paid with every sale, by whichever way it is paid."""

import pytest

from bitcache_server.domain.errors import SplitInvalid
from bitcache_server.domain.fees import CommissionRule
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import get_item
from bitcache_server.services.merchant_terms import set_commission
from bitcache_server.services.splits import MAX_CO_AUTHORS, list_splits, set_splits
from tests.support.purchases import (
    add_author,
    buy_from_balance,
    earned,
    fill_wallet,
    sell_shared,
)
from tests.support.shops import assert_nothing_lost, held
from tests.support.world import World


def test_a_sale_from_a_balance_that_does_not_divide(world: World) -> None:
    authors = [add_author(world, name) for name in ("Bob", "Eve", "Mia")]
    item_id = sell_shared(world, 1, dict.fromkeys(authors, 333_333))
    fill_wallet(world, 600, gift_msat=400)
    buy_from_balance(world, item_id)
    # 1,000 msat less 10: each third is 329.99 msat.
    assert earned(world, world.merchant_id, *authors) == (3, 329, 329, 329)
    assert held(world, chart.COMMISSION) == 10
    assert_nothing_lost(world)


def test_a_sale_by_invoice(world: World) -> None:
    bob = add_author(world)
    item_id = sell_shared(world, 10_001, {bob: 250_000})
    purchase = world.buy(item_id)
    world.pay(purchase)
    world.mine(6)
    net_msat = 10_001_000 - 100_010
    assert earned(world, world.merchant_id, bob) == (net_msat - net_msat // 4, net_msat // 4)
    assert_nothing_lost(world)


def test_everything_for_the_co_author(world: World) -> None:
    bob = add_author(world)
    item_id = sell_shared(world, 10, {bob: 1_000_000})
    fill_wallet(world)
    buy_from_balance(world, item_id)
    assert earned(world, world.merchant_id, bob) == (0, 9_900)
    assert_nothing_lost(world)


def test_a_commission_above_the_price_leaves_nothing_to_share(world: World) -> None:
    bob = add_author(world)
    item_id = sell_shared(world, 10, {bob: 500_000})
    with write_transaction(world.session):
        set_commission(world.session, world.merchant_id, CommissionRule(0, 50_000))
    fill_wallet(world)
    buy_from_balance(world, item_id)
    assert earned(world, world.merchant_id, bob) == (0, 0)
    assert held(world, chart.COMMISSION) == 10_000
    assert_nothing_lost(world)


def test_new_shares_hold_for_new_sales(world: World) -> None:
    bob, eve = add_author(world), add_author(world, "Eve")
    item_id = sell_shared(world, 100, {bob: 500_000})
    fill_wallet(world)
    fill_wallet(world, wallet_id="wa_2")
    buy_from_balance(world, item_id)
    with write_transaction(world.session):
        set_splits(world.session, get_item(world.session, item_id), {eve: 100_000})
    buy_from_balance(world, item_id, wallet_id="wa_2")
    assert earned(world, world.merchant_id, bob, eve) == (49_500 + 89_100, 49_500, 9_900)
    assert_nothing_lost(world)


def test_there_is_a_limit_to_co_authors(world: World) -> None:
    authors = [add_author(world, f"Author {number}") for number in range(MAX_CO_AUTHORS + 1)]
    item_id = sell_shared(world, 1, dict.fromkeys(authors[1:], 1))
    assert len(list_splits(world.session, [item_id])[item_id]) == MAX_CO_AUTHORS
    with pytest.raises(SplitInvalid, match="at most"):
        sell_shared(world, 1, dict.fromkeys(authors, 1))


@pytest.mark.parametrize("share_ppm", [0, -1, 1_000_001])
def test_shares_that_are_no_shares(world: World, share_ppm: int) -> None:
    bob = add_author(world)
    with pytest.raises(SplitInvalid, match="100 %"):
        sell_shared(world, 1, {bob: share_ppm})
