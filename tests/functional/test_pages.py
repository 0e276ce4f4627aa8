"""The hosted checkout: buying and reading without JavaScript."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from bitcache_server.extensions import db
from bitcache_server.http import checkout_cookies, offer_parts, pages
from bitcache_server.http.headers import PAGE_POLICY, page_policy
from bitcache_server.models.sales import Invoice
from tests.support.api import call
from tests.support.world import ORIGIN, PUBLIC_URL, Purchase, World


class Browser:
    """Keeps cookies and follows forms as a browser does; sends no headers of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client: FlaskClient = world.app.test_client()

    def get(self, path: str) -> TestResponse:
        db.session.rollback()
        return self.client.get(path, base_url=PUBLIC_URL, buffered=True)

    def post(
        self,
        path: str,
        origin: str | None = PUBLIC_URL,
        fetched_from: str | None = None,
        **form: str,
    ) -> TestResponse:
        db.session.rollback()
        named = {"Origin": origin, "Sec-Fetch-Site": fetched_from}
        headers = {name: value for name, value in named.items() if value is not None}
        return self.client.post(path, base_url=PUBLIC_URL, headers=headers, data=form)

    def restore(self, item_id: str, code: str) -> TestResponse:
        """Enter a receipt code."""
        return self.post(f"/pay/{item_id}/restore", code=code)

    def buy(self, item_id: str) -> Purchase:
        """Press the button; return the invoice and the verifier of the cookie."""
        answer = self.post(f"/pay/{item_id}")
        assert answer.status_code == 303, answer.text
        path = urlsplit(answer.headers["Location"]).path
        cookie = self.client.get_cookie(checkout_cookies.VERIFIER_COOKIE, "pay.example", path)
        assert cookie is not None
        invoice = call(self.world, "GET", f"/v1/invoices/{path.rpartition('/')[2]}").get_json()
        return Purchase(invoice, cookie.value)


@pytest.fixture
def browser(sqlite_world: World) -> Browser:
    return Browser(sqlite_world)


def page_of(purchase: Purchase) -> str:
    return f"/pay/invoices/{purchase.id}"


def check_headers(answer: TestResponse) -> None:
    assert answer.mimetype == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert not [rule for rule in policy if rule.startswith("script-src")]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_buying_and_reading(world: World) -> None:
    browser = Browser(world)
    offer = browser.get(f"/pay/{world.article_id}")
    check_headers(offer)
    assert "On engines" in offer.text
    assert "locked part" not in offer.text
    purchase = browser.buy(world.article_id)
    shown = browser.get(page_of(purchase))
    check_headers(shown)
    [request] = purchase.invoice["requests"]
    assert request["address"] in shown.text
    assert request["qr_svg_url"].replace("&", "&amp;") in shown.text
    # Only after the payment is the receipt code worth anything.
    assert purchase.verifier not in shown.text
    assert "locked part" not in shown.text
    world.pay(purchase)
    read = browser.get(page_of(purchase))
    check_headers(read)
    assert "<p>The locked part, ünïcode and <b>bold</b>.</p>" in read.text
    assert f"{purchase.id}.{purchase.verifier}" in read.text
    world.assert_books_balance()


def test_a_file(browser: Browser) -> None:
    purchase = browser.buy(browser.world.file_id)
    browser.world.pay(purchase)
    page = browser.get(page_of(purchase)).text
    link = page.split('href="https://pay.example/files/')[1].split('"')[0]
    assert browser.get(f"/files/{link}").data == bytes(range(256)) * 400


def test_another_browser_sees_that_it_is_paid_and_no_more(browser: Browser) -> None:
    world = browser.world
    purchase = browser.buy(world.article_id)
    world.pay(purchase)
    stranger = Browser(world)
    thief = Browser(world)
    theirs = thief.buy(world.article_id)
    thief.client.set_cookie(
        checkout_cookies.VERIFIER_COOKIE,
        theirs.verifier,
        domain="pay.example",
        path=page_of(purchase),
    )
    for other in (stranger, thief):
        page = other.get(page_of(purchase))
        assert page.status_code == 200
        assert "locked part" not in page.text
        assert purchase.verifier not in page.text


def test_the_cookies(browser: Browser) -> None:
    answer = browser.post(f"/pay/{browser.world.article_id}")
    path = urlsplit(answer.headers["Location"]).path
    secret, named = answer.headers.getlist("Set-Cookie")
    for cookie, sent_to in ((secret, path), (named, f"/pay/{browser.world.article_id}")):
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", f"path={sent_to}".lower()} <= parts
        assert not [part for part in parts if part.startswith("domain")]
        assert "max-age=34560000" in parts
    assert named.startswith(f"{checkout_cookies.INVOICE_COOKIE}={path.rpartition('/')[2]};")


def test_forms_of_other_sites_are_refused(browser: Browser) -> None:
    world = browser.world
    path = f"/pay/{world.article_id}"
    for origin in ("https://evil.example", "https://blog.example", "null", ""):
        answer = browser.post(path, origin)
        assert (answer.status_code, answer.headers.get("Set-Cookie")) == (403, None)
        check_headers(answer)
    assert world.session.scalar(select(func.count()).select_from(Invoice)) == 0
    # A browser says the origin of our own forms only under this policy.
    assert browser.get(path).headers["Referrer-Policy"] == "same-origin"
    assert browser.post(path, None).status_code == 303


@pytest.mark.parametrize(
    ("fetched_from", "origin", "status"),
    [
        ("same-origin", PUBLIC_URL, 303),
        ("same-origin", "null", 303),
        ("same-origin", None, 303),
        ("same-site", PUBLIC_URL, 403),
        ("cross-site", PUBLIC_URL, 403),
        ("cross-site", "https://evil.example", 403),
        ("cross-site", "null", 403),
        ("cross-site", None, 403),
        ("none", None, 403),
        ("", PUBLIC_URL, 403),
        (None, PUBLIC_URL, 303),
        (None, None, 303),
        (None, "null", 403),
        (None, f"{PUBLIC_URL}.evil.example", 403),
        (None, "http://pay.example", 403),
    ],
)
def test_what_a_browser_says_of_a_form(
    browser: Browser, fetched_from: str | None, origin: str | None, status: int
) -> None:
    world = browser.world
    bought = browser.post(f"/pay/{world.article_id}", origin, fetched_from)
    assert bought.status_code == status
    purchase = world.buy(world.article_id)
    world.pay(purchase)
    code = f"{purchase.id}.{purchase.verifier}"
    restored = browser.post(f"/pay/{world.article_id}/restore", origin, fetched_from, code=code)
    assert restored.status_code == status
    assert ("Set-Cookie" in restored.headers) == (status == 303)


def test_following_the_link_again_leads_to_the_purchase(world: World) -> None:
    browser = Browser(world)
    path = f"/pay/{world.article_id}"
    assert "/pay/invoices/" not in browser.get(path).text
    purchase = browser.buy(world.article_id)
    link = f'<a href="{page_of(purchase)}">'
    button = f'<a class="button primary" href="{page_of(purchase)}">Open your purchase</a>'
    assert link in browser.get(path).text
    world.pay(purchase)
    again = browser.get(path)
    check_headers(again)
    assert button in again.text
    assert purchase.verifier not in again.text
    assert "locked part" not in again.text
    assert button not in Browser(world).get(path).text
    assert page_of(purchase) not in browser.get(f"/pay/{world.file_id}").text


def test_a_cookie_that_names_no_invoice_of_the_item_changes_nothing(browser: Browser) -> None:
    world = browser.world
    path = f"/pay/{world.article_id}"
    before = browser.get(path).text
    other = world.buy(world.file_id)
    world.pay(other)
    for value in ("in_unknown", "<script>", "in_" + "a" * 99, other.id):
        browser.client.set_cookie(
            checkout_cookies.INVOICE_COOKIE, value, domain="pay.example", path=path
        )
        assert browser.get(path).text == before


def test_a_receipt_code_opens_the_purchase_in_another_browser(world: World) -> None:
    purchase = Browser(world).buy(world.article_id)
    world.pay(purchase)
    reader = Browser(world)
    offer = reader.get(f"/pay/{world.article_id}").text
    assert f'<form method="post" action="/pay/{world.article_id}/restore">' in offer
    answer = reader.restore(world.article_id, f" {purchase.id}.\r\n {purchase.verifier} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, page_of(purchase))
    assert "The locked part" in reader.get(page_of(purchase)).text
    assert "Open your purchase" in reader.get(f"/pay/{world.article_id}").text


def test_a_receipt_code_that_is_not_right_is_told_on_the_page(world: World) -> None:
    browser = Browser(world)
    purchase = world.buy(world.article_id)
    world.pay(purchase)
    mine, theirs = f"{purchase.id}.{purchase.verifier}", f"{purchase.id}.{'x' * 43}"
    for item_id, code, status, words in (
        (world.article_id, "", 422, offer_parts.BAD_CODE),
        (world.article_id, "nonsense", 422, offer_parts.BAD_CODE),
        (world.article_id, f"../{mine}", 422, offer_parts.BAD_CODE),
        (world.article_id, mine[:-1], 422, offer_parts.BAD_CODE),
        (world.article_id, theirs, 403, offer_parts.BAD_CODE),
        (world.article_id, f"in_unknown.{purchase.verifier}", 403, offer_parts.BAD_CODE),
        (world.file_id, theirs, 403, offer_parts.BAD_CODE),
        (world.file_id, mine, 409, offer_parts.OTHER_CODE),
    ):
        answer = browser.restore(item_id, code)
        check_headers(answer)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (status, False), code
        assert f'role="alert">{words}</p>' in answer.text
        assert "<details open>" in answer.text
    assert browser.restore("it_unknown", mine).status_code == 404


def test_a_receipt_code_leads_to_money_that_came_late(browser: Browser) -> None:
    world = browser.world
    purchase = world.buy(world.article_id)
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    world.pay(purchase)
    answer = browser.restore(world.article_id, f"{purchase.id}.{purchase.verifier}")
    assert answer.status_code == 303
    assert "Use your credit" in browser.get(page_of(purchase)).text


def test_access_that_has_ended_is_told_and_sold_again(browser: Browser) -> None:
    world = browser.world
    body = {
        "title": "T",
        "price": 2_000,
        "currency": "SAT",
        "content_html": "<p>For an hour.</p>",
        "access_hours": 1,
    }
    made = call(world, "POST", "/v1/items", world.secret, json=body)
    assert made.status_code == 201, made.text
    item_id = made.get_json()["id"]
    purchase = browser.buy(item_id)
    world.pay(purchase)
    assert "For an hour." in browser.get(page_of(purchase)).text
    world.clock.pass_time(3601)
    page = browser.get(page_of(purchase)).text
    assert "Your access has ended" in page
    assert "For an hour." not in page
    assert f'<form method="post" action="/pay/{item_id}">' in page


def test_pictures_come_from_the_authors_site_and_nowhere_else(browser: Browser) -> None:
    world = browser.world

    def policy_of(path: str) -> list[str]:
        return browser.get(path).headers["Content-Security-Policy"].split("; ")

    purchase = browser.buy(world.article_id)
    plain = policy_of(page_of(purchase))
    assert "img-src 'self'" in plain
    world.pay(purchase)
    opened = policy_of(page_of(purchase))
    assert f"img-src 'self' {ORIGIN}" in opened
    assert [rule for rule in opened if "img-src" not in rule] == [
        rule for rule in plain if "img-src" not in rule
    ]
    assert ORIGIN not in str(policy_of(f"/pay/{world.article_id}"))


def test_an_origin_cannot_write_a_policy() -> None:
    bad = ["https://a.example; script-src *", "https://b.example *", "data:", "*", "'self'"]
    assert page_policy(bad) == PAGE_POLICY
    assert "img-src 'self' https://a.example:8443;" in page_policy(["https://a.example:8443"])


def test_the_front_door_says_what_this_is(browser: Browser) -> None:
    answer = browser.get("/")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert "This is a Bitcache server" in answer.text
    assert "pay.example" in answer.text
    assert "<a " not in answer.text
    assert answer.headers["Content-Security-Policy"] == PAGE_POLICY


def test_money_that_came_late_is_used_on_the_page(browser: Browser) -> None:
    world = browser.world
    purchase = browser.buy(world.article_id)
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    world.pay(purchase)
    offer = browser.get(f"/pay/{world.article_id}").text
    assert f'href="{page_of(purchase)}">See how far it is</a>' in offer
    assert "Pay with bitcoin" not in offer
    page = browser.get(page_of(purchase)).text
    assert f'<form method="post" action="{page_of(purchase)}"' in page
    assert browser.post(page_of(purchase), "https://evil.example").status_code == 403
    assert Browser(world).post(page_of(purchase)).status_code == 403
    assert browser.post(page_of(purchase)).status_code == 303
    assert "The locked part" in browser.get(page_of(purchase)).text
    assert browser.post(page_of(purchase)).status_code == 303
    world.assert_books_balance()


def test_what_an_author_wrote_does_not_run_here(browser: Browser) -> None:
    world = browser.world
    html = (
        "<p>Fine <a href='https://a.example/'>link</a></p><script>alert(1)</script>"
        "<img src=x onerror=alert(2)><a href='javascript:alert(3)'>x</a><iframe src=//e></iframe>"
        "<form action=//evil><input></form><svg onload=alert(4)></svg>"
        "<style>*{display:none}</style>"
        "<base href=//evil><meta http-equiv=refresh content=0>{{ 7*7 }}</article><h1>end</h1>"
    )
    body = {"title": "T", "price": 2_000, "currency": "SAT", "content_html": html}
    item_id = call(world, "POST", "/v1/items", world.secret, json=body).get_json()["id"]
    purchase = browser.buy(item_id)
    world.pay(purchase)
    page = browser.get(page_of(purchase)).text
    article = page.split("<article>")[1].split("</article>")[0]
    assert "Fine <a href=" in article
    assert "{{ 7*7 }}" in article
    for bad in (
        "<script",
        "onerror",
        "javascript:",
        "<iframe",
        "<form",
        "<svg",
        "<style",
        "<base",
        "<meta",
    ):
        assert bad not in article.lower(), bad
    assert "<h1>end</h1>" in article


def test_errors_are_pages(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    world = browser.world
    for path, status, code in (
        ("/pay/it_unknown", 404, "unknown_item"),
        ("/pay/invoices/in_unknown", 404, "unknown_invoice"),
        ("/pay/%3Cscript%3E", 404, "unknown_item"),
    ):
        answer = browser.get(path)
        assert answer.status_code == status
        assert code in answer.text
        assert "<script" not in answer.text
        check_headers(answer)
    world.clock.pass_time(world.deps.settings.rate_max_age_s + 1)
    assert browser.get(f"/pay/{world.article_id}").status_code == 200
    answer = browser.post(f"/pay/{world.article_id}")
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
    assert int(answer.headers["Retry-After"]) > 0

    def fail(*_: object) -> None:
        raise RuntimeError("the password is 12345")

    monkeypatch.setattr(pages, "get_item", fail)
    answer = browser.get(f"/pay/{world.article_id}")
    assert (answer.status_code, "internal_error" in answer.text) == (500, True)
    assert "12345" not in answer.text
    check_headers(answer)


def test_pages_are_limited(start_world: Callable[..., World]) -> None:
    browser = Browser(
        start_world(limit_reads_per_address="9/day", limit_invoices_per_address="1/day")
    )
    path = f"/pay/{browser.world.article_id}"
    assert [browser.post(path).status_code for _ in range(2)] == [303, 429]
    assert browser.restore(browser.world.article_id, "nonsense").status_code == 422
    assert [browser.get(path).status_code for _ in range(7)][-1] == 429
    assert browser.restore(browser.world.article_id, "nonsense").status_code == 429
