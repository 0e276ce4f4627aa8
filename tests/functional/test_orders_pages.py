"""The hosted checkout of orders: offers, payment, the way back to the shop, without scripts."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select

from bitcache_server.models.orders import Order
from bitcache_server.models.session import write_transaction
from bitcache_server.services.orders import cancel_order, expire_orders, order_of_item
from bitcache_server.services.site_keys import secrets_for
from bitcache_server.tokens.orders import check_order
from tests.functional.test_pages import Browser
from tests.support.api import assert_problem
from tests.support.orders import (
    assert_sold_once,
    make_order,
    read_order,
    sat_order,
    send_order,
)
from tests.support.readers import Reader
from tests.support.world import ORIGIN, World

BACK = re.compile(r'href="(https://blog\.example/[^"]*)"')


def page_of(order: dict[str, object]) -> str:
    return f"/pay/orders/{order['id']}"


def give_up(world: World, order: dict[str, object]) -> None:
    with write_transaction(world.session):
        found = order_of_item(world.session, str(order["item"]))
        cancel_order(world.deps, world.session, found)


def test_an_order_is_paid_in_a_browser_and_the_shop_is_told(world: World) -> None:
    order, browser = make_order(world, reference="A 1"), Browser(world)
    offer = browser.get(page_of(order))
    assert offer.status_code == 200
    assert "script" not in offer.headers["Content-Security-Policy"]
    for words in ("Tea &lt;b&gt;Earl Grey&lt;/b&gt;", "12.50 USD", "5.00 USD", "1.60 USD"):
        assert words in offer.text
    assert "of it 19% tax" in offer.text
    assert f'href="{ORIGIN}/basket"' in offer.text
    purchase = browser.buy(f"orders/{order['id']}")
    shown = browser.get(f"/pay/invoices/{purchase.id}")
    assert "Scan and pay" in shown.text
    world.pay(purchase)
    world.mine(6)
    paid = browser.get(f"/pay/invoices/{purchase.id}").text
    assert "Paid. Thank you!" in paid
    assert f"{purchase.id}.{purchase.verifier}" in paid
    back = urlsplit(unescape(next(url for url in BACK.findall(paid) if "thanks" in url)))
    query = {name: values[0] for name, values in parse_qs(back.query).items()}
    assert (query["basket"], query["order"], query["state"]) == ("7", order["id"], "paid")
    secrets = secrets_for(world.deps, world.session, world.site_id)
    claims = check_order(secrets, query["token"], site=world.site_id)
    assert (claims.order, claims.reference, claims.state) == (order["id"], "A 1", "paid")
    assert (claims.total_minor, claims.currency) == (1_250, "USD")
    other = Browser(world).get(page_of(order)).text
    assert "This order is paid" in other
    assert "invoice.pdf" not in other
    assert "Pay with bitcoin" not in other
    assert_sold_once(world)


@pytest.mark.parametrize(
    ("currency", "unit_minor", "words"),
    [("JPY", 1_500, "1,500 JPY"), ("KWD", 1_234, "1.234 KWD"), ("SAT", 7_000, "7,000 sats")],
)
def test_currencies_with_no_and_three_decimals(
    sqlite_world: World, currency: str, unit_minor: int, words: str
) -> None:
    line = {"title": "One", "unit_minor": unit_minor}
    order = make_order(sqlite_world, currency=currency, lines=[line], total_minor=unit_minor)
    assert words in Browser(sqlite_world).get(page_of(order)).text


def test_a_form_sent_twice_makes_two_codes_and_one_sale(world: World) -> None:
    order, browser = sat_order(world), Browser(world)
    first = browser.buy(f"orders/{order['id']}")
    second = browser.buy(f"orders/{order['id']}")
    world.pay(first)
    world.pay(second)
    world.mine()
    paid = browser.get(f"/pay/invoices/{first.id}").text
    kept = browser.get(f"/pay/invoices/{second.id}").text
    assert "Paid. Thank you!" in paid
    assert "This order is paid" in kept
    assert "5,000 sats that you sent are kept as credit" in kept
    assert_sold_once(world)


def test_too_little_shows_what_is_missing(sqlite_world: World) -> None:
    order, browser = sat_order(sqlite_world), Browser(sqlite_world)
    purchase = browser.buy(f"orders/{order['id']}")
    sqlite_world.pay(purchase, 2_000_000)
    sqlite_world.mine()
    shown = browser.get(f"/pay/invoices/{purchase.id}").text
    assert "Almost there" in shown
    assert "2,000 sats arrived. Send 3,000 sats more to the same address." in shown
    assert_sold_once(sqlite_world)


def test_a_cancelled_order_says_where_the_money_is(sqlite_world: World) -> None:
    order, browser = sat_order(sqlite_world), Browser(sqlite_world)
    purchase = browser.buy(f"orders/{order['id']}")
    give_up(sqlite_world, order)
    assert "This order was cancelled" in browser.get(f"/pay/invoices/{purchase.id}").text
    assert "Scan and pay" not in browser.get(f"/pay/invoices/{purchase.id}").text
    sqlite_world.pay(purchase)
    sqlite_world.mine()
    shown = browser.get(f"/pay/invoices/{purchase.id}").text
    assert "kept as credit under your receipt code" in shown
    assert f"{purchase.id}.{purchase.verifier}" in shown
    assert browser.post(page_of(order)).status_code == 409
    assert_sold_once(sqlite_world)


def test_an_order_that_is_over_says_so(sqlite_world: World) -> None:
    order, browser = sat_order(sqlite_world, expires_in_s=60), Browser(sqlite_world)
    sqlite_world.clock.pass_time(61)
    assert "The time to pay this order is over" in browser.get(page_of(order)).text
    sqlite_world.clock.pass_time(7_200)
    expire_orders(sqlite_world.deps, sqlite_world.session)
    shown = browser.get(page_of(order)).text
    assert "Money that still arrives for it is not lost" in shown
    assert "Pay with bitcoin" not in shown


def test_late_money_pays_an_open_order_by_the_button(sqlite_world: World) -> None:
    order, browser = sat_order(sqlite_world), Browser(sqlite_world)
    purchase = browser.buy(f"orders/{order['id']}")
    sqlite_world.expire(7_200)
    assert "This code has expired" in browser.get(f"/pay/invoices/{purchase.id}").text
    sqlite_world.pay(purchase)
    sqlite_world.mine()
    assert "Use your credit" in browser.get(f"/pay/invoices/{purchase.id}").text
    assert browser.post(f"/pay/invoices/{purchase.id}").status_code == 303
    assert "Paid. Thank you!" in browser.get(f"/pay/invoices/{purchase.id}").text
    assert_sold_once(sqlite_world)


def test_a_balance_pays_with_one_button(world: World) -> None:
    order, reader = sat_order(world), Reader(world)
    reader.fill(20_000)
    page = reader.get(page_of(order)).text
    key = re.findall(r'name="key" value="([^"]+)"', page)[0]
    sent = reader.post(f"{page_of(order)}/balance", price_msat="5000000", key=key)
    assert (sent.status_code, sent.location) == (303, page_of(order))
    again = reader.post(f"{page_of(order)}/balance", price_msat="5000000", key=key)
    assert again.status_code == 303
    assert "Paid. Thank you!" in reader.get(page_of(order)).text
    assert read_order(world, str(order["id"]))["state"] == "paid"
    other = Reader(world)
    other.fill(20_000)
    refused = other.post(f"{page_of(order)}/balance", price_msat="5000000", key="other")
    assert refused.status_code == 409
    assert_sold_once(world)


def test_credit_of_a_second_payment_moves_to_a_balance(sqlite_world: World) -> None:
    order, reader = sat_order(sqlite_world), Reader(sqlite_world)
    first, browser = Browser(sqlite_world), Browser(sqlite_world)
    browser.client = reader.client
    mine = browser.buy(f"orders/{order['id']}")
    sqlite_world.pay(first.buy(f"orders/{order['id']}"))
    sqlite_world.pay(mine)
    sqlite_world.mine()
    assert "Move 5,000 sats to your balance" in reader.get(f"/pay/invoices/{mine.id}").text
    moved = reader.post(f"/pay/invoices/{mine.id}/to-balance")
    assert moved.status_code == 303
    assert reader.post(f"/pay/invoices/{mine.id}/to-balance").status_code == 409
    assert_sold_once(sqlite_world)


def test_a_receipt_code_opens_the_payment_elsewhere(sqlite_world: World) -> None:
    order, browser = sat_order(sqlite_world), Browser(sqlite_world)
    purchase = browser.buy(f"orders/{order['id']}")
    sqlite_world.pay(purchase)
    sqlite_world.mine()
    elsewhere = Browser(sqlite_world)
    path = f"orders/{order['id']}"
    assert elsewhere.restore(path, "nonsense").status_code == 422
    assert elsewhere.restore(path, f"{purchase.id}.{'x' * 43}").status_code == 403
    opened = elsewhere.restore(path, f"{purchase.id}.{purchase.verifier}")
    assert opened.status_code == 303
    assert "Receipt (PDF)" in elsewhere.get(opened.location).text
    other = sat_order(sqlite_world)
    code = f"{purchase.id}.{purchase.verifier}"
    assert elsewhere.restore(f"orders/{other['id']}", code).status_code == 409


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "https://blog.example@evil.example/",
        "https://blog.example.evil.example/",
        "https:/\\evil.example/",
        "javascript:alert(1)",
        "https://blog.example\\@evil.example/",
        "http://blog.example/",
    ],
)
def test_the_way_back_leads_nowhere_else(sqlite_world: World, url: str) -> None:
    for name in ("return_url", "cancel_url"):
        assert_problem(send_order(sqlite_world, **{name: url}), 422, "return_url_refused")
    assert sqlite_world.session.scalar(select(func.count()).select_from(Order)) == 0


def test_unknown_orders_and_forms_of_others(sqlite_world: World) -> None:
    browser = Browser(sqlite_world)
    assert browser.get("/pay/orders/or_nothing").status_code == 404
    order = sat_order(sqlite_world)
    assert browser.post(page_of(order), origin="https://evil.example").status_code == 403
    assert browser.post(f"{page_of(order)}/balance", fetched_from="cross-site").status_code == 403
    assert browser.get(f"{page_of(order)}/balance").status_code == 303
    assert read_order(sqlite_world, str(order["id"]))["invoices"] == []


def test_what_is_the_shops_alone_is_not_on_the_page(sqlite_world: World) -> None:
    order = make_order(
        sqlite_world, customer_ref="Mrs Secret", metadata={"margin": "not for customers"}
    )
    shown = Browser(sqlite_world).get(page_of(order)).text
    assert "Secret" not in shown
    assert "not for customers" not in shown
