"""What Lightning payments make of an invoice: through HTTP and the watch, on both databases."""

import hashlib
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.ledger import Grant
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.backend import InvoiceOrder
from bitcache_server.rails.lightning.decoding import decode, preimage_fits
from bitcache_server.services.create_invoice import new_invoice
from bitcache_server.services.merchants import get_site
from bitcache_server.services.request_payment import ask_for_payment
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.services.top_up import create_top_up
from tests.support.lightning_world import LightningWorld, facts_of, lightning_request
from tests.support.readers import Reader
from tests.support.shops import (
    PRICE_MSAT,
    assert_nothing_lost,
    held,
    payment_count,
    sell_at,
    transfers,
)
from tests.support.world import LOCKED, Purchase, sha256_challenge

LIFETIME_S = 900


@pytest.fixture
def shop(lightning_world: LightningWorld) -> Iterator[LightningWorld]:
    """Return a world in which every test must leave the books in order."""
    yield lightning_world
    assert_nothing_lost(lightning_world)


def _summary(shop: LightningWorld, purchase: Purchase) -> tuple[str, list[str], int, int]:
    """Return state, marks, received and credit."""
    shop.session.rollback()
    seen = shop.read(purchase)
    return seen["state"], seen["marks"], seen["received_msat"], seen["credit_msat"]


def _redeem(shop: LightningWorld, purchase: Purchase) -> int:
    answer = shop.post(f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier})
    return answer.status_code


def test_reader_pays_and_reads(shop: LightningWorld) -> None:
    item = shop.get(f"/v1/items/{shop.article_id}").get_json()
    assert item["rails"] == ["lightning", "fake"]
    purchase = shop.buy()
    [request] = purchase.invoice["requests"]
    assert (request["address"], request["confirmations_required"]) == (None, 0)
    assert (request["amount_msat"], request["amount_sat"]) == (PRICE_MSAT, PRICE_MSAT // 1_000)
    assert request["uri"] == f"lightning:{request['bolt11']}"
    assert request["qr_uri"] == request["uri"].upper()
    shop.pay_lightning(purchase)
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0)
    [payment] = shop.read(purchase)["payments"]
    assert (payment["rail"], payment["state"]) == ("lightning", "confirmed")
    assert payment["reference"] == request["payment_hash"]
    answer = shop.get(f"/v1/content/{shop.article_id}", shop.grant(purchase))
    assert answer.get_json()["html"] == LOCKED
    assert held(shop, chart.clearing("lightning")) == -PRICE_MSAT
    assert held(shop, chart.unconfirmed("lightning")) == 0
    assert held(shop, chart.merchant(shop.merchant_id)) == PRICE_MSAT * 99 // 100


def test_the_invoice_commits_to_what_is_sold(shop: LightningWorld) -> None:
    purchase = shop.buy()
    request = lightning_request(purchase.invoice)
    signed = decode(request["bolt11"], "regtest")
    told = request["description"]
    assert signed.description_hash == hashlib.sha256(told.encode()).hexdigest()
    assert facts_of(request) == {
        "amount_msat": PRICE_MSAT,
        "invoice": purchase.id,
        "item": shop.article_id,
        "site": "Ada's blog",
        "title": "On engines",
    }
    assert (signed.amount_msat, signed.payment_hash) == (PRICE_MSAT, request["payment_hash"])
    assert signed.expires_at == purchase.invoice["expires_at"]


def test_without_hashes_a_memo_says_what_is_sold(shop: LightningWorld) -> None:
    shop.lightning.description_hash = False
    request = lightning_request(shop.buy().invoice)
    assert request["description"] is None
    assert decode(request["bolt11"], "regtest").memo == "On engines · Ada's blog"


def test_the_proof_of_payment_is_kept(shop: LightningWorld) -> None:
    payment_hash = shop.pay_lightning(shop.buy())
    row = shop.session.get_one(Payment, ("lightning", payment_hash))
    assert preimage_fits(row.raw, payment_hash)
    shop.session.rollback()


@pytest.mark.parametrize(("late_s", "state"), [(0, "paid"), (1, "expired")])
def test_a_second_too_late_is_credit(shop: LightningWorld, late_s: int, state: str) -> None:
    purchase = shop.buy()
    shop.clock.pass_time(LIFETIME_S + late_s)
    shop.pay_lightning(purchase)
    assert _summary(shop, purchase)[0] == state
    if state == "expired":
        assert _summary(shop, purchase) == ("expired", ["late"], PRICE_MSAT, PRICE_MSAT)
        assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
        assert _redeem(shop, purchase) == 200
        assert _summary(shop, purchase)[3] == 0
    assert shop.claim(purchase).status_code == 200


def test_in_time_though_we_were_down(shop: LightningWorld) -> None:
    """The node says when the money came; it is not late because nobody looked."""
    purchase = shop.buy()
    request = lightning_request(purchase.invoice)
    shop.clock.pass_time(LIFETIME_S)
    shop.lightning.pay(request["payment_hash"])
    shop.expire(10 * LIFETIME_S)
    assert _summary(shop, purchase)[0] == "expired"
    shop.settle()
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0)


def test_a_node_whose_clock_is_ahead_makes_nobody_late(shop: LightningWorld) -> None:
    purchase = shop.buy()
    request = lightning_request(purchase.invoice)
    shop.lightning.pay(request["payment_hash"], settled_at=shop.clock() + 2 * LIFETIME_S)
    shop.settle()
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0)


def test_reported_often_it_is_booked_once(shop: LightningWorld) -> None:
    purchases = [shop.buy() for _ in range(3)]
    hashes = [str(lightning_request(p.invoice)["payment_hash"]) for p in purchases]
    for payment_hash in reversed(hashes):
        shop.lightning.pay(payment_hash)
    # Out of order and twice in one page, then once more in a later one.
    shop.lightning.repeat(hashes[2])
    assert shop.settle() == 4
    for payment_hash in hashes:
        shop.lightning.repeat(payment_hash)
    assert shop.settle() == 3
    assert payment_count(shop) == 3
    assert [amount for *_, amount in transfers(shop, Kind.RECEIPT)] == [PRICE_MSAT] * 3
    assert len(transfers(shop, Kind.SALE)) == 3
    assert [_summary(shop, p)[0] for p in purchases] == ["paid"] * 3


def test_money_that_nobody_waits_for_is_left_alone(shop: LightningWorld) -> None:
    """The operator's node may have a life of its own."""
    issued = shop.lightning.create_invoice(InvoiceOrder("pizza", 9_000, "Pizza", "", 600))
    shop.lightning.pay(issued.payment_hash)
    assert shop.settle() == 1
    assert payment_count(shop) == 0
    assert transfers(shop) == []


@pytest.mark.parametrize(
    ("paid_msat", "summary"),
    [
        (PRICE_MSAT - 1, ("open", ["underpaid"], PRICE_MSAT - 1, 0)),
        (PRICE_MSAT + 1, ("paid", ["overpaid"], PRICE_MSAT + 1, 1)),
        (2 * PRICE_MSAT, ("paid", ["overpaid"], 2 * PRICE_MSAT, PRICE_MSAT)),
    ],
)
def test_less_or_more_than_was_asked_for(
    shop: LightningWorld, paid_msat: int, summary: tuple[str, list[str], int, int]
) -> None:
    """BOLT 4 lets a payer send up to twice as much; less only comes from a broken node."""
    purchase = shop.buy()
    shop.pay_lightning(purchase, paid_msat)
    assert _summary(shop, purchase) == summary


def test_a_part_is_completed_on_chain(shop: LightningWorld) -> None:
    purchase = shop.buy(rail="any")
    assert purchase.invoice["unified"] is not None
    shop.pay_lightning(purchase, 2_000_000)
    shop.session.rollback()
    seen = shop.read(purchase)
    assert seen["unified"] is None, "that Lightning invoice would ask for the whole again"
    [onchain] = [r for r in seen["requests"] if r["rail"] == "fake"]
    assert (onchain["amount_sat"], onchain["amount_msat"]) == (3_000, 3_000_000)
    assert onchain["uri"].endswith("amount=0.00003")
    shop.rail.pay(_fake_target(shop, purchase), 3_000_000)
    shop.watch()
    shop.mine()
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0)


def test_prices_are_exact_to_the_msat(shop: LightningWorld) -> None:
    """Five cents at 1,000 dollars is a whole sat; a third of a cent is not."""
    with write_transaction(shop.session):
        invoice = new_invoice(shop.deps, 3_333_333, sha256_challenge("m" * 43))
        _sell(shop, invoice)
    ask_for_payment(shop.deps, shop.session, invoice.id, "lightning")
    _settle(shop, invoice.id)
    assert held(shop, chart.clearing("lightning")) == -3_333_333
    assert held(shop, chart.ROUNDING) == 0
    parts = held(shop, chart.merchant(shop.merchant_id)) + held(shop, chart.COMMISSION)
    assert parts == 3_333_333


def test_whole_sats_are_rounded_up_and_the_rest_is_booked(shop: LightningWorld) -> None:
    shop.lightning.exact_msat = False
    with write_transaction(shop.session):
        invoice = new_invoice(shop.deps, 3_333_333, sha256_challenge("m" * 43))
        _sell(shop, invoice)
    ask_for_payment(shop.deps, shop.session, invoice.id, "lightning")
    _settle(shop, invoice.id)
    assert held(shop, chart.clearing("lightning")) == -3_334_000
    assert held(shop, chart.ROUNDING) == 667
    seen = shop.get(f"/v1/invoices/{invoice.id}").get_json()
    assert (seen["state"], seen["marks"], seen["credit_msat"]) == ("paid", [], 0)
    [request] = seen["requests"]
    assert (request["amount_msat"], request["amount_sat"]) == (3_334_000, 3_334)


def _sell(shop: LightningWorld, invoice: Invoice) -> None:
    """Make an invoice one for the article, at an amount that no price in whole sats has."""
    site = get_site(shop.session, shop.site_id)
    invoice.item_id, invoice.site_id = shop.article_id, site.id
    invoice.merchant_id = site.merchant_id
    shop.session.add(invoice)
    shop.session.flush()


def _settle(shop: LightningWorld, invoice_id: str) -> None:
    shop.session.rollback()
    seen = shop.get(f"/v1/invoices/{invoice_id}").get_json()
    shop.lightning.pay(lightning_request(seen)["payment_hash"])
    shop.settle()
    shop.session.rollback()


@pytest.mark.parametrize("first", ["lightning", "fake"])
def test_paid_on_both_rails_the_second_is_credit(shop: LightningWorld, first: str) -> None:
    purchase = shop.buy(rail="any")
    if first == "fake":
        shop.rail.pay(_fake_target(shop, purchase), PRICE_MSAT)
        shop.watch()
        assert _summary(shop, purchase)[0] == "paid"
        shop.pay_lightning(purchase)
    else:
        shop.pay_lightning(purchase)
        shop.rail.pay(_fake_target(shop, purchase), PRICE_MSAT)
        shop.watch()
    assert _summary(shop, purchase) == ("paid", ["overpaid"], 2 * PRICE_MSAT, PRICE_MSAT)
    assert len(transfers(shop, Kind.SALE)) == 1
    shop.mine()
    reader = Reader(shop)
    assert reader.claim(purchase) == PRICE_MSAT
    assert reader.own_msat == PRICE_MSAT


def test_a_chain_payment_that_vanishes_leaves_the_lightning_one(shop: LightningWorld) -> None:
    """Lightning cannot be taken back: the sale stands on it."""
    purchase = shop.buy(rail="any")
    reference = shop.rail.pay(_fake_target(shop, purchase), PRICE_MSAT)
    shop.watch()
    shop.pay_lightning(purchase)
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0)
    assert shop.claim(purchase).status_code == 200


def _fake_target(shop: LightningWorld, purchase: Purchase) -> str:
    query = select(RequestRow.target).where(
        RequestRow.invoice_id == purchase.id, RequestRow.rail == "fake"
    )
    target = shop.session.scalars(query).one()
    shop.session.rollback()
    return target


def test_credit_of_lightning_moves_at_once(shop: LightningWorld) -> None:
    """No confirmation will ever come, so none is waited for."""
    purchase = shop.buy()
    shop.pay_lightning(purchase, PRICE_MSAT + 7_777)
    reader = Reader(shop)
    assert reader.claim(purchase) == 7_777
    assert reader.own_msat == 7_777


@pytest.mark.parametrize("paid_sat", [2_000, 1_999, 2_001])
def test_a_top_up_is_there_at_once(shop: LightningWorld, paid_sat: int) -> None:
    reader = Reader(shop)
    with write_transaction(shop.session):
        made = create_top_up(shop.deps, shop.session, reader.wallet_id, 2_000, "lightning").id
    ask_for_payment(shop.deps, shop.session, made, "lightning")
    request = _request_of(shop, made)
    shop.lightning.pay(request.target, paid_sat * 1_000)
    shop.settle()
    assert reader.own_msat == paid_sat * 1_000
    assert held(shop, chart.clearing("lightning")) == -paid_sat * 1_000


def _request_of(shop: LightningWorld, invoice_id: str) -> RequestRow:
    row = shop.session.get_one(RequestRow, (invoice_id, "lightning"))
    shop.session.expunge(row)
    shop.session.rollback()
    return row


def test_money_for_a_merchant_alone_is_sold_without_a_grant(shop: LightningWorld) -> None:
    with write_transaction(shop.session):
        merchant = shop.session.get_one(Merchant, shop.merchant_id)
        invoice = new_invoice(
            shop.deps, 21_000, sha256_challenge("s" * 43), merchant=merchant, comment="Bravo!"
        )
        shop.session.add(invoice)
        shop.session.flush()
    ask_for_payment(shop.deps, shop.session, invoice.id, "lightning", description="[]")
    request = _request_of(shop, invoice.id)
    assert request.description == "[]"
    shop.lightning.pay(request.target)
    shop.settle()
    assert held(shop, chart.merchant(shop.merchant_id)) == 20_790
    assert held(shop, chart.COMMISSION) == 210
    assert shop.session.scalars(select(Grant)).all() == []
    shop.session.rollback()
    stored = shop.session.get_one(Invoice, invoice.id)
    assert (stored.state, stored.comment, stored.item_id) == ("paid", "Bravo!", "")
    shop.session.rollback()
    # It is nobody's page: the public sees no invoice there.
    assert shop.get(f"/v1/invoices/{invoice.id}").get_json()["code"] == "unknown_invoice"


def test_settling_again_changes_nothing(shop: LightningWorld) -> None:
    purchase = shop.buy(sell_at(shop, 1))
    shop.pay_lightning(purchase)
    before = transfers(shop)
    for _ in range(2):
        with write_transaction(shop.session):
            settle_invoice(shop.deps, shop.session, purchase.id)
    assert transfers(shop) == before
    assert _summary(shop, purchase) == ("paid", [], 1_000, 0)
