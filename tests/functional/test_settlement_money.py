"""Who gets how much: modes, commissions, fractions of a sat, times of grace."""

from pathlib import Path
from typing import Any

import pytest

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from bitcache_server.services import housekeeping
from tests.support.databases import Databases
from tests.support.shops import (
    PRICE_MSAT,
    assert_nothing_lost,
    held,
    opened_world,
    sell_at,
    transfers,
)
from tests.support.world import World

LIFETIME_S = 900


def test_direct_money_never_passes_through_us(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        merchant = chart.merchant(shop.merchant_id)
        purchase = shop.buy()
        shop.pay(purchase, PRICE_MSAT + 3_000)
        shop.mine()
        commission_msat = PRICE_MSAT // 100
        # They hold the surplus too, and owe it to the payer.
        assert held(shop, merchant) == -commission_msat - 3_000
        assert held(shop, chart.COMMISSION) == commission_msat
        assert held(shop, chart.invoice(purchase.id)) == 3_000
        for account in (chart.clearing("fake"), chart.unconfirmed("fake")):
            assert held(shop, account) == 0
        assert_nothing_lost(shop)


def test_direct_money_that_vanishes_leaves_no_debt(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        purchase = shop.buy()
        reference = shop.pay(purchase)
        shop.rail.double_spend(reference)
        shop.check_unconfirmed()
        assert shop.read(purchase)["state"] == "open"
        for account in (chart.merchant(shop.merchant_id), chart.COMMISSION, chart.LOSS):
            assert held(shop, account) == 0
        assert_nothing_lost(shop)


@pytest.mark.parametrize(("rate", "price_msat"), [("900", 5_555_556), ("123456.78", 40_501)])
def test_whole_sats_leave_a_rounding(
    tmp_path: Path, database_url: str, rate: str, price_msat: int
) -> None:
    settings: dict[str, Any] = {
        "fixed_rates": {"USD": rate},
        "onchain_floor_sat": 0,
        "onchain_floor_fee_vb": 0,
    }
    with opened_world(tmp_path, database_url, **settings) as shop:
        purchase = shop.buy()
        paid_msat = -(-price_msat // 1_000) * 1_000
        assert purchase.invoice["amount_msat"] == price_msat
        assert purchase.invoice["requests"][0]["amount_sat"] * 1_000 == paid_msat
        shop.pay(purchase)
        invoice = shop.read(purchase)
        assert (invoice["state"], invoice["marks"], invoice["credit_msat"]) == ("paid", [], 0)
        commission_msat = price_msat // 100
        assert held(shop, chart.COMMISSION) == commission_msat
        assert held(shop, chart.merchant(shop.merchant_id)) == price_msat - commission_msat
        assert held(shop, chart.ROUNDING) == paid_msat - price_msat
        assert held(shop, chart.invoice(purchase.id)) == 0
        assert_nothing_lost(shop)


@pytest.mark.parametrize(("ppm", "commission_msat"), [(0, 0), (1_000_000, PRICE_MSAT), (3, 15)])
def test_any_commission(tmp_path: Path, database_url: str, ppm: int, commission_msat: int) -> None:
    with opened_world(tmp_path, database_url, commission_ppm=ppm) as shop:
        purchase = shop.buy()
        shop.pay(purchase)
        assert shop.claim(purchase).status_code == 200
        assert held(shop, chart.COMMISSION) == commission_msat
        assert held(shop, chart.merchant(shop.merchant_id)) == PRICE_MSAT - commission_msat
        assert len(transfers(shop, Kind.SALE)) == (ppm < 1_000_000)
        assert len(transfers(shop, Kind.COMMISSION)) == (ppm > 0)
        assert_nothing_lost(shop)


def test_grace_sells_at_the_old_rate(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, late_grace_s=60) as shop:
        in_grace, too_late = shop.buy(), shop.buy()
        shop.expire(LIFETIME_S + 60)
        shop.pay(in_grace)
        assert shop.read(in_grace)["state"] == "paid"
        version = shop.read(too_late)["version"]
        shop.expire(0)
        assert shop.read(too_late)["version"] == version, "nothing changed for it"
        shop.expire(1)
        assert shop.read(too_late)["state"] == "expired"
        shop.pay(too_late)
        assert shop.read(too_late)["marks"] == ["late"]
        assert_nothing_lost(shop)


def test_expiry_ends_with_many_invoices_in_their_grace(
    tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EXPIRE_CHUNK", 3)
    with (
        databases.fresh("sqlite") as url,
        opened_world(tmp_path, url, late_grace_s=3_600) as shop,
    ):
        for _ in range(7):
            shop.buy(rail=None)
        shop.expire(LIFETIME_S + 1)
        shop.expire(3_600)
        listed = shop.get("/v1/invoices?limit=100", shop.secret).get_json()["invoices"]
        assert {invoice["state"] for invoice in listed} == {"expired"}


def test_a_cheaper_item_is_redeemed_at_todays_price(world: World) -> None:
    item_id = sell_at(world, 4_000)
    purchase = world.buy(item_id)
    world.expire(LIFETIME_S + 1)
    world.pay(purchase, 3_000_000)
    path, body = f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier}
    assert world.post(path, body).get_json()["code"] == "no_credit"
    assert world.read(purchase)["credit_msat"] == 3_000_000
    _set_price(world, item_id, 2_500)
    assert world.post(path, {"verifier": "x" * 43}).get_json()["code"] == "verifier_mismatch"
    assert world.post(path, body).status_code == 200
    assert world.read(purchase)["credit_msat"] == 500_000
    assert held(world, chart.merchant(world.merchant_id)) == 2_475_000
    assert_nothing_lost(world)


def _set_price(world: World, item_id: str, price_sat: int) -> None:
    with write_transaction(world.session):
        world.session.get_one(Item, item_id).price_amount = price_sat
