"""Receipts and invoices as PDF: for who has paid, with what was written and nothing run."""

import pypdfium2
import pytest
from werkzeug.test import TestResponse

from bitcache_server.models.access import Brand
from bitcache_server.models.operations import StoredRate
from bitcache_server.models.session import write_transaction
from bitcache_server.services.refresh_rates import refresh_rates
from tests.functional.test_pages import Browser
from tests.support.dashboard import sign_in
from tests.support.orders import assert_sold_once, make_order, read_order, sat_order
from tests.support.readers import Reader
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

LEGAL = "VAT ID XX123 & <script>"


def text_of(answer: TestResponse) -> str:
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf"), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    with pypdfium2.PdfDocument(answer.data) as document:
        pages = [page.get_textpage().get_text_bounded() for page in document]
    return " ".join(" ".join(pages).split())


def give_legal_text(world: World) -> None:
    with write_transaction(world.session):
        world.session.add(
            Brand(
                merchant_id=world.merchant_id,
                accent="",
                accent_dark="",
                support="help@blog.example",
                legal_text=LEGAL,
                changed_at=0,
            )
        )


def test_the_receipt_of_an_article(world: World) -> None:
    give_legal_text(world)
    browser = Browser(world)
    purchase = browser.buy(world.article_id)
    path = f"/pay/invoices/{purchase.id}/receipt.pdf"
    assert browser.get(path).status_code == 409
    reference = world.pay(purchase)
    world.mine()
    assert path in browser.get(f"/pay/invoices/{purchase.id}").text
    words = text_of(browser.get(path))
    for expected in (
        "Receipt", "On engines", "Ada's blog", "5,000 sats", "0.05 USD", "1 BTC = 1,000.00 USD",
        purchase.id, LEGAL, "help@blog.example",
    ):  # fmt: skip
        assert expected in words, expected
    assert reference.replace(" ", "") in words.replace(" ", "")
    assert Browser(world).get(path).status_code == 403


def test_the_invoice_of_an_order(world: World) -> None:
    give_legal_text(world)
    browser, order = Browser(world), make_order(world, reference="R <b>7</b>")
    purchase = browser.buy(f"orders/{order['id']}")
    path = f"/pay/invoices/{purchase.id}/invoice.pdf"
    assert browser.get(path).status_code == 404
    world.pay(purchase)
    world.mine(6)
    words = text_of(browser.get(path))
    for expected in (
        "Invoice 1", "R <b>7</b>", "Tea <b>Earl Grey</b>", "10.00 USD", "12.50 USD", "19%",
        "1.60 USD", "1,250,000 sats", "1 BTC = 1,000.00 USD", LEGAL,
    ):  # fmt: skip
        assert expected in words, expected
    assert "Invoice 1" in text_of(browser.get(path))
    assert Browser(world).get(path).status_code == 403
    merchants_copy = sign_in(world).get(f"./orders/{order['id']}/invoice.pdf")
    assert "Invoice 1" in text_of(merchants_copy)


def test_the_documents_of_a_wallet(sqlite_world: World) -> None:
    order, reader = sat_order(sqlite_world), Reader(sqlite_world)
    reader.fill(20_000)
    page = f"/pay/orders/{order['id']}"
    assert reader.post(f"{page}/balance", price_msat="5000000").status_code == 303
    assert "Invoice 1" in text_of(reader.get(f"{page}/invoice.pdf"))
    assert Reader(sqlite_world).get(f"{page}/invoice.pdf").status_code == 404
    assert Browser(sqlite_world).get(f"{page}/invoice.pdf").status_code in (303, 401)
    receipt = reader.get(f"/wallet/purchases/{order['item']}/1/receipt.pdf")
    assert "A print" in text_of(receipt)


def test_who_paid_second_gets_no_invoice(sqlite_world: World) -> None:
    order, one, two = sat_order(sqlite_world), Browser(sqlite_world), Browser(sqlite_world)
    first = one.buy(f"orders/{order['id']}")
    second = two.buy(f"orders/{order['id']}")
    sqlite_world.pay(first)
    sqlite_world.pay(second)
    sqlite_world.mine()
    assert one.get(f"/pay/invoices/{first.id}/invoice.pdf").status_code == 200
    assert two.get(f"/pay/invoices/{second.id}/invoice.pdf").status_code == 404
    assert two.get(f"/pay/invoices/{second.id}/receipt.pdf").status_code == 409


@pytest.mark.parametrize("language", ["de", "fr", "ar"])
def test_documents_in_other_languages(sqlite_world: World, language: str) -> None:
    lines = [{"title": "كتاب Büch 中", "unit_minor": 1_234, "tax_ppm": 70_000}]
    order = make_order(sqlite_world, currency="EUR", lines=lines, total_minor=1_234)
    read_order(sqlite_world, order["id"])
    reader = Reader(sqlite_world)
    with write_transaction(sqlite_world.session):
        sqlite_world.session.add(
            StoredRate(
                currency="EUR", price_per_btc="100000", as_of=sqlite_world.clock(), sources=1
            )
        )
    reader.fill(20_000)
    sent = reader.post(f"/pay/orders/{order['id']}/balance", price_msat="12340000")
    assert sent.status_code == 303, sent.text
    words = text_of(reader.get(f"/pay/orders/{order['id']}/invoice.pdf?lang={language}"))
    assert "EUR" in words
    assert "sats" in words.lower() or language != "de"


def test_an_order_whose_payment_vanished_has_no_invoice_until_it_is_paid_again(
    world: World,
) -> None:
    order, one, two = sat_order(world), Browser(world), Browser(world)
    first, second = one.buy(f"orders/{order['id']}"), two.buy(f"orders/{order['id']}")
    path = f"./orders/{order['id']}/invoice.pdf"
    reference = world.pay(first)
    world.mine()
    assert "Invoice 1" in text_of(sign_in(world).get(path))
    world.rail.reorg()
    world.rail.double_spend(reference)
    world.watch()
    assert read_order(world, order["id"])["state"] == "open"
    assert sign_in(world).get(path).status_code == 409
    world.pay(second)
    world.mine()
    # The number is the order's, so that none is left out.
    assert "Invoice 1" in text_of(sign_in(world).get(path))
    assert_sold_once(world)


def test_the_receipt_says_what_late_money_paid(world: World) -> None:
    """At the price of the day on which it was redeemed, not at that of the invoice."""
    browser = Browser(world)
    purchase = browser.buy(world.article_id)
    world.expire(901)
    world.deps.rate_sources[0].prices["USD"] = 2000  # type: ignore[attr-defined]
    refresh_rates(world.deps, world.session)
    world.pay(purchase)
    world.mine()
    redeemed = world.post(f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier})
    assert redeemed.status_code == 200, redeemed.text
    words = text_of(browser.get(f"/pay/invoices/{purchase.id}/receipt.pdf"))
    assert "2,500 sats" in words
    assert "5,000 sats" not in words
    assert "1,000.00 USD" not in words
    assert_nothing_lost(world)
