"""Money that bought nothing becomes balance: once, and never what was sold as well."""

from pathlib import Path

import pytest

from bitcache_server.domain.errors import (
    CreditNotMovable,
    NoCredit,
    StorageBusy,
    UnknownInvoice,
    UnknownWallet,
    VerifierMismatch,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.extensions import db
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Site
from bitcache_server.services.claim_balance import claim_to_balance
from bitcache_server.services.close_wallet import close_wallet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refund import refund_by_merchant
from bitcache_server.services.settle_invoice import settle_invoice
from tests.support.api import at_once
from tests.support.readers import Reader, stored_invoice
from tests.support.shops import (
    PRICE_MSAT,
    assert_nothing_lost,
    held,
    open_content,
    opened_world,
    transfers,
)
from tests.support.world import Purchase, World

LIFETIME_S = 900
#: The time of the first block that a test mines; the next comes ten minutes later.
FIRST_BLOCK_AT = 1_700_000_600


def late(shop: World, paid_msat: int = PRICE_MSAT) -> Purchase:
    """Return an invoice whose money came after its time and is confirmed."""
    record_health(shop.deps, shop.session, shop.rail)
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    shop.pay(purchase, paid_msat)
    shop.mine()
    return purchase


@pytest.mark.parametrize("paid_msat", [1_000_000, PRICE_MSAT, PRICE_MSAT * 2])
def test_late_and_short_money_moves_as_a_whole(shop: World, paid_msat: int) -> None:
    reader, purchase = Reader(shop), late(shop, paid_msat)
    assert reader.claim(purchase) == paid_msat
    assert (reader.own_msat, shop.read(purchase)["credit_msat"]) == (paid_msat, 0)
    assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
    assert "moved to a reader's balance" in shop.claim(purchase).get_json()["detail"]


def test_a_surplus_moves_and_the_purchase_stays(shop: World) -> None:
    reader, purchase = Reader(shop), shop.buy()
    shop.pay(purchase, PRICE_MSAT + 2_500_000)
    shop.mine()
    grant = shop.grant(purchase)
    assert reader.claim(purchase) == 2_500_000
    assert open_content(shop, purchase, grant) == (200, "")
    assert shop.state(purchase) is InvoiceState.PAID


def test_on_sight_nothing_moves(shop: World) -> None:
    reader, purchase = Reader(shop), shop.buy()
    shop.pay(purchase, PRICE_MSAT * 2)
    with pytest.raises(NoCredit, match="first confirmation"):
        reader.claim(purchase)
    shop.mine()
    assert reader.claim(purchase) == PRICE_MSAT


def test_a_second_claim_moves_nothing(shop: World) -> None:
    reader, other, purchase = Reader(shop), Reader(shop), late(shop)
    reader.claim(purchase)
    for again in (reader, other):
        with pytest.raises(NoCredit, match="5,000 sats, was moved"):
            again.claim(purchase)
    assert (reader.own_msat, other.own_msat) == (PRICE_MSAT, 0)


def test_a_claim_needs_the_verifier(shop: World) -> None:
    reader = Reader(shop)
    top_up_id = reader.top_up()
    purchase, other = late(shop), late(shop)
    for stolen in (Purchase(purchase.invoice, other.verifier), Purchase(purchase.invoice, "")):
        with pytest.raises(VerifierMismatch):
            reader.claim(stolen)
    with pytest.raises(UnknownInvoice):
        reader.claim(Purchase({"id": "in_unknown"}, purchase.verifier))
    with pytest.raises(UnknownInvoice):
        reader.claim(Purchase({"id": top_up_id}, purchase.verifier))
    assert reader.own_msat == 0


def test_while_a_payment_may_still_buy_nothing_moves(shop: World) -> None:
    reader, purchase = Reader(shop), shop.buy()
    shop.pay(purchase, 1_000_000)
    shop.mine()
    with pytest.raises(NoCredit, match="may still buy"):
        reader.claim(purchase)
    shop.expire(LIFETIME_S + 1)
    assert reader.claim(purchase) == 1_000_000


def test_two_claims_at_once_move_the_money_once(shop: World) -> None:
    readers, purchase = [Reader(shop) for _ in range(4)], late(shop)

    def claim(number: int) -> int:
        with shop.app.app_context():
            try:
                return in_transaction(
                    db.session(),
                    lambda: claim_to_balance(
                        shop.deps,
                        db.session(),
                        readers[number].wallet_id,
                        purchase.id,
                        purchase.verifier,
                    ),
                )
            except (NoCredit, StorageBusy):
                return 0
            finally:
                db.session.remove()

    assert sorted(at_once(4, claim)) == [0, 0, 0, PRICE_MSAT]
    assert sorted(reader.own_msat for reader in readers) == [0, 0, 0, PRICE_MSAT]
    assert len(transfers(shop, Kind.CLAIM)) == 1


def test_a_claim_and_a_redemption_do_not_both_get_the_money(shop: World) -> None:
    reader, claimed, redeemed = Reader(shop), late(shop), late(shop)
    reader.claim(claimed)
    answer = shop.post(f"/v1/invoices/{claimed.id}/redeem", {"verifier": claimed.verifier})
    assert answer.get_json()["code"] == "no_credit"
    body = {"verifier": redeemed.verifier}
    assert shop.post(f"/v1/invoices/{redeemed.id}/redeem", body).status_code == 200
    with pytest.raises(NoCredit):
        reader.claim(redeemed)


def test_a_reorg_after_a_claim_neither_sells_twice_nor_loses_the_sale(shop: World) -> None:
    reader, purchase = Reader(shop), shop.buy()
    shop.pay(purchase, PRICE_MSAT * 2, "it may be replaced")
    shop.mine()
    assert reader.claim(purchase) == PRICE_MSAT
    shop.rail.reorg()
    shop.watch()
    assert shop.state(purchase) is InvoiceState.SEEN
    # As with a top-up, the wallet gives back what it still has.
    assert held(shop, chart.LOSS) == 0
    assert reader.own_msat == 0
    assert_nothing_lost(shop)
    shop.mine()
    assert reader.own_msat == PRICE_MSAT
    assert shop.state(purchase) is InvoiceState.PAID
    assert held(shop, chart.LOSS) == 0
    assert open_content(shop, purchase, shop.grant(purchase)) == (200, "")
    merchant = chart.merchant(shop.merchant_id)
    assert held(shop, merchant) == PRICE_MSAT * 99 // 100
    assert shop.read(purchase)["credit_msat"] == 0
    with pytest.raises(NoCredit):
        reader.claim(purchase)
    before = transfers(shop)
    in_transaction(shop.session, lambda: settle_invoice(shop.deps, shop.session, purchase.id))
    assert transfers(shop) == before


def test_money_that_turns_out_to_be_in_time_after_a_claim_is_not_sold_as_well(shop: World) -> None:
    """The whole price was moved; money in time that comes on top is sold."""
    shop.clock.now = FIRST_BLOCK_AT
    reader, purchase = Reader(shop), shop.buy()
    shop.expire(LIFETIME_S + 1)
    shop.pay(purchase)
    shop.mine()
    assert reader.claim(purchase) == PRICE_MSAT
    # Its block says that it came before the expiry.
    shop.rail.pay(shop.target_of(purchase), PRICE_MSAT)
    shop.mine()
    seen = shop.read(purchase)
    assert (seen["state"], seen["credit_msat"]) == ("paid", 0)
    assert len(transfers(shop, Kind.SALE)) == 1
    assert reader.own_msat == PRICE_MSAT


def test_a_claim_that_left_less_than_the_price_is_never_sold(shop: World) -> None:
    """Late money was moved; what comes in time alone pays, but the rest is gone."""
    shop.clock.now = FIRST_BLOCK_AT
    reader, purchase = Reader(shop), shop.buy()
    shop.rail.pay(shop.target_of(purchase), 3_000_000)
    shop.mine()
    shop.expire(LIFETIME_S + 1)
    assert reader.claim(purchase) == 3_000_000
    shop.rail.pay(shop.target_of(purchase), 2_000_000)
    shop.mine()
    seen = shop.read(purchase)
    assert (seen["state"], seen["credit_msat"]) == ("paid", 2_000_000)
    assert transfers(shop, Kind.SALE) == []
    assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
    assert reader.claim(purchase) == 2_000_000


def test_money_in_a_merchants_own_wallet_cannot_move(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        reader, purchase = Reader(shop), late(shop)
        with pytest.raises(CreditNotMovable):
            reader.claim(purchase)
        assert reader.own_msat == 0
        assert_nothing_lost(shop)


def test_a_refunded_purchase_is_credit_and_is_never_sold_again(shop: World) -> None:
    reader, purchase = Reader(shop), shop.buy()
    shop.pay(purchase)
    shop.mine()
    site = shop.session.get_one(Site, shop.site_id)
    in_transaction(
        shop.session,
        lambda: refund_by_merchant(shop.deps, shop.session, site, purchase.id, shop.article_id),
    )
    assert stored_invoice(shop, purchase.id).refunded_at is not None
    assert shop.read(purchase)["credit_msat"] == PRICE_MSAT
    shop.rail.reorg()
    shop.watch()
    shop.mine()
    assert (shop.read(purchase)["state"], len(transfers(shop, Kind.SALE))) == ("paid", 1)
    assert reader.claim(purchase) == PRICE_MSAT
    assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"


def test_nothing_moves_to_a_deleted_wallet(shop: World) -> None:
    reader, purchase = Reader(shop), late(shop)
    in_transaction(
        shop.session,
        lambda: close_wallet(shop.deps, shop.session, reader.wallet_id, give_up_rest=False),
    )
    with pytest.raises(UnknownWallet):
        reader.claim(purchase)
    assert Reader(shop).claim(purchase) == PRICE_MSAT
