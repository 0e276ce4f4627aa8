"""Money that goes away again: reorganisations, double spends, forgetful nodes."""

from pathlib import Path

from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from tests.support.shops import (
    PRICE_MSAT,
    assert_nothing_lost,
    held,
    live_revision,
    open_content,
    opened_world,
    sell_at,
    transfers,
)
from tests.support.world import World

LIFETIME_S = 900
DEAR_SAT = 20_000


def _no_money_anywhere(shop: World) -> None:
    rail = shop.rail.name
    places = (chart.clearing(rail), chart.unconfirmed(rail), chart.COMMISSION, chart.LOSS)
    for account in (*places, chart.merchant(shop.merchant_id)):
        assert held(shop, account) == 0, account


def test_a_reorg_takes_a_confirmed_sale_back_until_it_is_mined_again(shop: World) -> None:
    purchase = shop.buy(sell_at(shop, DEAR_SAT))
    shop.pay(purchase)
    shop.mine()
    grant = shop.grant(purchase)
    assert open_content(shop, purchase, grant) == (200, "")
    assert live_revision(shop, purchase) == 1

    shop.rail.reorg()
    shop.watch()
    seen = shop.read(purchase)
    assert (seen["state"], seen["payments"][0]["confirmations"]) == ("seen", 0)
    assert seen["payments"][0]["state"] == "seen"
    assert open_content(shop, purchase, grant) == (403, "grant_revoked")
    assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
    _no_money_anywhere(shop)

    shop.mine()
    assert shop.state(purchase) is InvoiceState.PAID
    assert open_content(shop, purchase, grant) == (403, "grant_revoked")
    assert open_content(shop, purchase, shop.grant(purchase)) == (200, "")
    assert live_revision(shop, purchase) == 2
    assert held(shop, chart.clearing("fake")) == -DEAR_SAT * 1_000


def test_a_reorg_leaves_a_small_sale_that_waits_again(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    shop.mine()
    grant = shop.grant(purchase)
    shop.rail.reorg()
    shop.watch()
    assert shop.state(purchase) is InvoiceState.PAID
    assert open_content(shop, purchase, grant) == (200, "")
    shop.mine()
    assert len(transfers(shop, Kind.RECEIPT)) == 1
    assert held(shop, chart.clearing("fake")) == -PRICE_MSAT


def test_a_deep_reorg_walks_back_block_by_block(shop: World) -> None:
    early, late = shop.buy(), shop.buy(sell_at(shop, 2_000_000))
    shop.pay(early)
    shop.mine(2)
    shop.pay(late)
    shop.mine(5)
    assert shop.state(late) is InvoiceState.PAID
    shop.rail.reorg(6)
    shop.watch()
    assert shop.state(late) is InvoiceState.SEEN
    assert shop.state(early) is InvoiceState.PAID
    shop.mine()
    assert shop.state(late) is InvoiceState.SEEN
    shop.mine(2)
    assert shop.state(late) is InvoiceState.PAID


def test_without_revocation_the_grant_stays(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, revoke_on_reorg=False) as shop:
        purchase = shop.buy(sell_at(shop, DEAR_SAT))
        shop.pay(purchase)
        shop.mine()
        grant = shop.grant(purchase)
        shop.rail.reorg()
        shop.watch()
        assert shop.state(purchase) is InvoiceState.SEEN
        assert open_content(shop, purchase, grant) == (200, "")
        assert shop.claim(purchase).status_code == 200
        _no_money_anywhere(shop)
        assert_nothing_lost(shop)
        shop.mine()
        assert shop.state(purchase) is InvoiceState.PAID
        assert open_content(shop, purchase, grant) == (200, "")
        assert_nothing_lost(shop)


def test_a_double_spend_undoes_a_sale_on_sight(shop: World) -> None:
    purchase = shop.buy()
    reference = shop.pay(purchase)
    grant = shop.grant(purchase)
    assert held(shop, chart.merchant(shop.merchant_id)) > 0
    shop.rail.double_spend(reference)
    shop.mine()
    seen = shop.read(purchase)
    assert (seen["state"], seen["received_msat"], seen["missing_msat"]) == ("open", 0, PRICE_MSAT)
    assert [p["state"] for p in seen["payments"]] == ["removed"]
    assert open_content(shop, purchase, grant) == (403, "grant_revoked")
    _no_money_anywhere(shop)
    booked = transfers(shop)
    assert len(booked) == 6, "receipt, sale, commission, and each taken back"
    assert {(to, origin, msat) for origin, to, msat in booked} == set(booked)
    # An honest payment after that pays, with a higher revision.
    shop.pay(purchase)
    assert open_content(shop, purchase, shop.grant(purchase)) == (200, "")
    assert live_revision(shop, purchase) == 2


def test_a_double_spend_after_the_expiry_closes_the_invoice(shop: World) -> None:
    purchase = shop.buy()
    reference = shop.pay(purchase)
    shop.expire(LIFETIME_S + 1)
    assert shop.state(purchase) is InvoiceState.PAID
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert shop.read(purchase)["state"] == "expired"
    assert shop.read(purchase)["credit_msat"] == 0


def test_a_double_spent_half_leaves_the_other_half(shop: World) -> None:
    purchase = shop.buy()
    kept = shop.pay(purchase, 2_000_000)
    gone = shop.pay(purchase, 3_000_000)
    assert shop.state(purchase) is InvoiceState.PAID
    shop.rail.double_spend(gone)
    shop.check_unconfirmed()
    seen = shop.read(purchase)
    assert (seen["state"], seen["marks"], seen["missing_msat"]) == (
        "open",
        ["underpaid"],
        3_000_000,
    )
    assert {p["reference"]: p["state"] for p in seen["payments"]} == {kept: "seen", gone: "removed"}
    assert held(shop, chart.invoice(purchase.id)) == 2_000_000


def test_a_forgotten_payment_is_sent_again_and_stays(shop: World) -> None:
    purchase = shop.buy()
    reference = shop.pay(purchase)
    grant = shop.grant(purchase)
    shop.rail.lose(reference)
    shop.watch()
    shop.check_unconfirmed()
    assert shop.read(purchase)["payments"][0]["state"] == "seen"
    assert open_content(shop, purchase, grant) == (200, "")
    shop.mine()
    assert shop.read(purchase)["payments"][0]["confirmations"] == 1
    assert len(transfers(shop, Kind.RECEIPT)) == 1
