"""Payment links and links that a shop signs: nothing happens before the button."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select

from bitcache_server.models.orders import Order, PaymentLink
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_merchant, rotate_site_secret
from bitcache_server.services.site_keys import secrets_for
from bitcache_server.tokens.orders import sign_link
from tests.functional.test_pages import Browser
from tests.support.dashboard import Person, sign_in
from tests.support.orders import assert_sold_once, read_order
from tests.support.world import ORIGIN, World


def orders(world: World) -> int:
    world.session.rollback()
    count = world.session.scalar(select(func.count()).select_from(Order))
    world.session.rollback()
    return count or 0


def signed(world: World, **changed: str) -> dict[str, str]:
    values = {
        "site": world.site_id,
        "reference": "S-1",
        "amount": "12.50",
        "currency": "USD",
        "title": "Ünïcode & <b>Tea</b>",
        "return_url": f"{ORIGIN}/thanks",
        "expires": str(world.clock() + 600),
        **changed,
    }
    return {**values, "signature": sign_link(secrets_of(world), values)}


def secrets_of(world: World) -> tuple[str, ...]:
    found = secrets_for(world.deps, world.session, world.site_id)
    world.session.rollback()
    return found


def fields(page: str) -> dict[str, str]:
    from html import unescape

    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in found}


def test_a_signed_link_makes_an_order_by_its_button_only(world: World) -> None:
    browser, query = Browser(world), urlencode(signed(world))
    page = browser.get(f"/order?{query}&lang=de&utm_source=mail")
    assert page.status_code == 200, page.text
    assert "Ünïcode &amp; &lt;b&gt;Tea&lt;/b&gt;" in page.text
    assert "12,50 USD" in page.text
    assert orders(world) == 0
    made = browser.post("/order", **fields(page.text))
    assert made.status_code == 303, made.text
    assert browser.post("/order", **fields(page.text)).location == made.location
    assert orders(world) == 1
    order = read_order(world, made.location.rpartition("/")[2])
    assert (order["reference"], order["total_minor"], order["state"]) == ("S-1", 1_250, "open")
    purchase = browser.buy(f"orders/{order['id']}")
    world.pay(purchase)
    world.mine(6)
    assert read_order(world, order["id"])["state"] == "paid"
    assert_sold_once(world)


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "1.25"}, {"currency": "EUR"}, {"reference": "S-2"}, {"title": "Other"},
        {"expires": "1900000000"}, {"return_url": f"{ORIGIN}/other"}, {"signature": "x" * 43},
        {"signature": ""}, {"cancel_url": f"{ORIGIN}/"}, {"site": "st_nothing"},
        {"signature": "\u00e9"},
    ],
)  # fmt: skip
def test_a_link_that_was_changed_is_refused(sqlite_world: World, changed: dict[str, str]) -> None:
    browser, values = Browser(sqlite_world), {**signed(sqlite_world), **changed}
    assert browser.get(f"/order?{urlencode(values)}").status_code == 403
    assert browser.post("/order", **values).status_code == 403
    assert orders(sqlite_world) == 0


def test_a_link_that_is_over_is_refused(sqlite_world: World) -> None:
    values = signed(sqlite_world)
    sqlite_world.clock.pass_time(600)
    shown = Browser(sqlite_world).get(f"/order?{urlencode(values)}")
    assert (shown.status_code, "This link is over" in shown.text) == (403, True)


def test_a_parameter_twice_or_missing(sqlite_world: World) -> None:
    browser, values = Browser(sqlite_world), signed(sqlite_world)
    assert browser.get(f"/order?{urlencode(values)}&amount=1").status_code == 422
    assert browser.get("/order").status_code == 403
    assert browser.get(f"/order?{urlencode({'site': values['site']})}").status_code == 403


def test_what_a_shop_signs_is_checked_all_the_same(sqlite_world: World) -> None:
    browser = Browser(sqlite_world)
    evil = signed(sqlite_world, return_url="https://evil.example/")
    assert browser.post("/order", **evil).status_code == 422
    for name, value in {"amount": "0", "currency": "XXX", "expires": "soon"}.items():
        wrong = signed(sqlite_world, **{name: value})
        assert browser.get(f"/order?{urlencode(wrong)}").status_code == 422
    assert orders(sqlite_world) == 0


def test_the_same_reference_for_something_else_is_refused(sqlite_world: World) -> None:
    browser = Browser(sqlite_world)
    assert browser.post("/order", **signed(sqlite_world)).status_code == 303
    assert browser.post("/order", **signed(sqlite_world, amount="13")).status_code == 409


def test_links_of_the_older_secret_work_once_more(sqlite_world: World) -> None:
    values, later = signed(sqlite_world), []
    for _ in range(2):
        with write_transaction(sqlite_world.session):
            rotate_site_secret(sqlite_world.deps, sqlite_world.session, sqlite_world.site_id)
        sqlite_world.clock.pass_time(60)
        later.append(Browser(sqlite_world).get(f"/order?{urlencode(values)}").status_code)
    assert later == [200, 403]


def make_link(world: World, person: Person, **changed: Any) -> str:
    values = {"site": world.site_id, "title": "A <i>coffee</i>", "currency": "EUR", **changed}
    made = person.post("./orders/links", values)
    assert made.status_code == 303, made.text
    return str(made.location).split("?")[0].rpartition("/")[2]


def test_a_payment_link_with_a_price(world: World) -> None:
    person, browser = sign_in(world), Browser(world)
    link_id = make_link(world, person, price="3", tax="7")
    page = browser.get(f"/l/{link_id}")
    assert "A &lt;i&gt;coffee&lt;/i&gt;" in page.text
    assert "3.00 EUR" in page.text
    assert orders(world) == 0
    first = browser.post(f"/l/{link_id}", **fields(page.text))
    assert first.status_code == 303, first.text
    assert browser.post(f"/l/{link_id}", **fields(page.text)).location == first.location
    other = browser.post(f"/l/{link_id}", **fields(browser.get(f"/l/{link_id}").text))
    assert other.location != first.location
    order = read_order(world, first.location.rpartition("/")[2])
    assert (order["payment_link"], order["total_minor"]) == (link_id, 300)
    assert order["taxes"] == [{"tax_ppm": 70_000, "gross_minor": 300, "tax_minor": 20}]


def test_a_payment_link_whose_payer_chooses(sqlite_world: World) -> None:
    person, browser = sign_in(sqlite_world), Browser(sqlite_world)
    link_id = make_link(sqlite_world, person, least="2", most="50.50")
    page = browser.get(f"/l/{link_id}").text
    assert "From 2.00 EUR to 50.50 EUR" in page
    for amount in ("1.99", "50.51", "", "ten", "5.001", "1e1", "-5"):
        answer = browser.post(f"/l/{link_id}", **fields(page), amount=amount)
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True), amount
    assert orders(sqlite_world) == 0
    made = browser.post(f"/l/{link_id}", **fields(page), amount=" 7.5 ")
    assert read_order(sqlite_world, made.location.rpartition("/")[2])["total_minor"] == 750


def test_a_closed_link_makes_no_orders(sqlite_world: World) -> None:
    person, browser = sign_in(sqlite_world), Browser(sqlite_world)
    link_id = make_link(sqlite_world, person, price="3")
    sent = fields(browser.get(f"/l/{link_id}").text)
    assert person.post(f"./orders/links/{link_id}/use", {"use": "close"}).status_code == 303
    assert "not in use any more" in browser.get(f"/l/{link_id}").text
    assert browser.post(f"/l/{link_id}", **sent).status_code == 409
    person.post(f"./orders/links/{link_id}/use", {"use": "open"})
    assert browser.post(f"/l/{link_id}", **sent).status_code == 303
    assert browser.get("/l/pl_nothing").status_code == 404
    assert browser.get("/l/%00").status_code == 404


def test_the_pages_of_a_link(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    link_id = make_link(sqlite_world, person, price="3")
    page = person.get(f"./orders/links/{link_id}").text
    assert f"https://pay.example/l/{link_id}" in page
    # What is copied is the title as HTML writes it; the page shows just that.
    assert "&lt;a href=" in page
    assert "&amp;lt;i&amp;gt;coffee" in page
    assert "<i>coffee" not in page
    printed = person.get(f"./orders/links/{link_id}/print")
    assert "Scan this to pay with bitcoin." in printed.text
    code = person.get(f"./orders/links/{link_id}/qr.svg")
    assert (code.mimetype, code.data[:4]) == ("image/svg+xml", b"<svg")
    with write_transaction(sqlite_world.session):
        other_id = add_merchant(sqlite_world.deps, sqlite_world.session, "Bob", None).id
    stranger = sign_in(sqlite_world, merchant_id=other_id)
    for below in ("", "/print", "/qr.svg"):
        assert stranger.get(f"./orders/links/{link_id}{below}").status_code == 404
    assert stranger.post(f"./orders/links/{link_id}/use", {"use": "close"}).status_code == 404


@pytest.mark.parametrize(
    "changed",
    [
        {}, {"price": "3", "least": "1", "most": "2"}, {"least": "5", "most": "2"},
        {"least": "5"}, {"price": "0"}, {"price": "3", "title": ""}, {"price": "3", "tax": "101"},
        {"price": "3", "return_url": "https://evil.example"}, {"price": "3", "currency": "?"},
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_link_is_said(sqlite_world: World, changed: dict[str, str]) -> None:
    person = sign_in(sqlite_world)
    values = {"site": sqlite_world.site_id, "title": "Coffee", "currency": "EUR", **changed}
    answer = person.post("./orders/links", values)
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert sqlite_world.session.scalar(select(func.count()).select_from(PaymentLink)) == 0
