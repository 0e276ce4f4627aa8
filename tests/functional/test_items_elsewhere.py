"""What the site holds itself: sold here, opened there; nobody loses what is theirs."""

import re
from typing import Any

import pytest
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from bitcache_server.extensions import db
from bitcache_server.http.headers import PAGE_POLICY
from bitcache_server.models.catalog import Item
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.services.catalog import change_origins
from bitcache_server.services.members import Role
from tests.functional.test_pages import Browser, page_of
from tests.functional.test_wallet_checkout import Buyer, read_path
from tests.support.api import assert_refused, call
from tests.support.clicks import open_clicker
from tests.support.dashboard import sign_in
from tests.support.lightning_world import LightningWorld
from tests.support.shops import assert_nothing_lost
from tests.support.world import LOCKED, ORIGIN, Purchase, World

OPEN_URL = f"{ORIGIN}/?bitcache_read=7&lang=de"
FORM = re.compile(
    r'<form method="post" action="([^"]+)">\s*<input type="hidden" name="grant" value="([^"]+)">'
    r"\s*<button type=\"submit\">([^<]+)</button>"
)
MACHINE = {"Accept": "application/json"}


def post(world: World, **fields: Any) -> TestResponse:
    body = {"title": "Held", "price": 5_000, "currency": "SAT", "external_id": "wp:1:7:post"}
    return call(world, "POST", "/v1/items", world.secret, json={**body, **fields})


def put(world: World, **fields: Any) -> str:
    """Add the item or change it; return its id."""
    answer = post(world, **fields)
    assert answer.status_code == 201, answer.text
    db.session.rollback()
    return str(answer.get_json()["id"])


def put_file(world: World) -> str:
    folder = world.deps.settings.files_dir / world.site_id
    folder.mkdir(exist_ok=True)
    (folder / "song.ogg").write_bytes(b"a song")
    return put(world, file_path="song.ogg")


def bought(world: World, item_id: str) -> tuple[Purchase, str]:
    purchase = world.buy(item_id)
    world.pay(purchase)
    world.mine(6)
    return purchase, world.grant(purchase)


def invoices(world: World) -> int:
    world.session.rollback()
    found = world.session.scalar(select(func.count()).select_from(Invoice)) or 0
    world.session.rollback()
    return found


def handed_over(answer: TestResponse) -> str:
    """Check the page that leads to the site; return the grant that its form carries."""
    assert answer.status_code == 200
    [(action, grant, words)] = FORM.findall(answer.text)
    assert action.replace("&amp;", "&") == OPEN_URL
    assert words.replace("&#39;", "'") == "Read it on Ada's blog"
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' {ORIGIN};" in policy
    # Nothing else is allowed that other pages are not.
    assert policy.replace(f" {ORIGIN}", "") == PAGE_POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    return str(grant)


def test_an_item_that_the_site_holds(world: World) -> None:
    item_id = put(world, open_url=OPEN_URL, url=f"{ORIGIN}/an-article")
    shown = call(world, "GET", f"/v1/items/{item_id}").get_json()
    assert (shown["open_url"], shown["kind"], shown["file"]) == (OPEN_URL, "article", None)
    assert shown["rails"] == ["fake"]
    assert call(world, "GET", f"/v1/items/{world.article_id}").get_json()["open_url"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"open_url": OPEN_URL, "content_html": "x"},
        {"open_url": OPEN_URL, "file_path": "song.ogg"},
        {"open_url": OPEN_URL, "content_html": "x", "file_path": "song.ogg"},
        *(
            {"open_url": url}
            for url in (
                "https://other.example/", "http://blog.example/", "https://blog.example:444/",
                "https://blog.example.evil.example/", "https://user:pass@blog.example/",
                "//blog.example/", "javascript:alert(1)//https://blog.example/", "/read", "", " ",
                f"{ORIGIN}/a\nb", f"{ORIGIN}/{'a' * 2_000}", "https://[::1", "data:text/html,x",
            )
        ),
    ],
)  # fmt: skip
def test_addresses_that_are_not_the_sites(sqlite_world: World, fields: dict[str, str]) -> None:
    assert_refused(sqlite_world, post(sqlite_world, **fields), 422, "invalid_request")


def test_it_is_sold_by_invoice_and_by_click_and_opened_elsewhere(world: World) -> None:
    item_id = put(world, open_url=OPEN_URL)
    _, by_invoice = bought(world, item_id)
    clicker = open_clicker(world)
    by_click = clicker.unlock(item_id)["grant"]
    assert clicker.unlock(item_id)["outcome"] == "owned"
    for grant in (by_invoice, by_click):
        claims = call(world, "GET", "/v1/grant", grant).get_json()
        assert (claims["item"], claims["price_msat"]) == (item_id, 5_000_000)
        for method, path in (
            ("GET", f"/v1/content/{item_id}"),
            ("HEAD", f"/v1/content/{item_id}"),
            ("GET", f"/v1/files/{item_id}"),
            ("POST", f"/v1/files/{item_id}/link"),
        ):
            answer = call(world, method, path, grant)
            assert answer.status_code == 409
            if method != "HEAD":
                assert_refused(world, answer, 409, "content_elsewhere")
                assert OPEN_URL in answer.get_json()["detail"]
    # Who has no grant is not told to get one for what is not here.
    answer = world.get(f"/v1/content/{item_id}")
    assert_refused(world, answer, 409, "content_elsewhere")
    assert_nothing_lost(world)


def test_machines_are_not_billed_for_it(lightning_world: LightningWorld) -> None:
    world = lightning_world
    item_id = put(world, open_url=OPEN_URL)
    for path in (f"/v1/content/{item_id}", f"/v1/files/{item_id}", f"/pay/{item_id}"):
        answer = call(world, "GET", path, headers=MACHINE)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "content_elsewhere")
        assert OPEN_URL in answer.get_json()["detail"]
        assert "WWW-Authenticate" not in answer.headers
        broken = call(world, "GET", path, headers={**MACHINE, "Authorization": "L402 x:00"})
        assert broken.status_code == 409
    assert invoices(world) == 0


def test_a_machine_that_has_paid_reads_on_and_no_other_is_billed(
    lightning_world: LightningWorld,
) -> None:
    world = lightning_world
    item_id = put(world, content_html=LOCKED)
    path = f"/v1/content/{item_id}"
    body = call(world, "GET", path, headers=MACHINE)
    token = re.findall(r'token="([^"]+)"', body.headers["WWW-Authenticate"])[0]
    credential = f"L402 {token}:{world.lightning.pay(body.get_json()['bolt11']).preimage}"
    world.settle()
    put(world, open_url=OPEN_URL)
    before = invoices(world)
    opened = call(world, "GET", path, headers={**MACHINE, "Authorization": credential})
    assert (opened.status_code, opened.get_json()["html"]) == (200, LOCKED)
    for headers in (MACHINE, {**MACHINE, "Authorization": f"L402 {token}:{'00' * 32}"}):
        answer = call(world, "GET", path, headers=headers)
        assert answer.status_code in (403, 409)
        assert "WWW-Authenticate" not in answer.headers
    assert invoices(world) == before
    assert_nothing_lost(world)


def test_an_article_that_moves_to_its_site_stays_open_to_who_has_it(world: World) -> None:
    item_id = put(world, content_html=LOCKED)
    browser = Browser(world)
    owner = open_clicker(world)
    purchase, before = bought(world, item_id)
    on_page = browser.buy(item_id)
    world.pay(on_page)
    world.mine(6)
    owned = owner.unlock(item_id)["grant"]
    assert put(world, open_url=OPEN_URL) == item_id
    for grant in (before, owned, world.grant(purchase)):
        content = world.get(f"/v1/content/{item_id}", grant)
        assert (content.status_code, content.get_json()["html"]) == (200, LOCKED)
        assert call(world, "GET", "/v1/grant", grant).status_code == 200
    assert owner.unlock(item_id)["outcome"] == "owned"
    # The page leads to where it is now, with a grant of the purchase that was made before.
    assert handed_over(browser.get(page_of(on_page))) == world.grant(on_page)
    # And back again: the new text, for old and new buyers alike.
    _, meanwhile = bought(world, item_id)
    assert put(world, content_html="<p>new</p>") == item_id
    for grant in (before, owned, meanwhile):
        assert world.get(f"/v1/content/{item_id}", grant).get_json()["html"] == "<p>new</p>"
    assert "<p>new</p>" in browser.get(page_of(on_page)).text
    assert_nothing_lost(world)


def test_a_file_that_moves_to_its_site_stays_open_to_who_has_it(world: World) -> None:
    item_id = put_file(world)
    _, before = bought(world, item_id)
    link = world.post(f"/v1/files/{item_id}/link", {}, before).get_json()["url"]
    put(world, open_url=OPEN_URL)
    shown = world.get(f"/v1/items/{item_id}").get_json()
    assert (shown["kind"], shown["file"], shown["rails"]) == ("article", None, ["fake"])
    for url in (link, world.post(f"/v1/files/{item_id}/link", {}, before).get_json()["url"]):
        assert call(world, "GET", url).data == b"a song"
    # What is sold now is on the site: this file may go, and sales go on.
    (world.deps.settings.files_dir / world.site_id / "song.ogg").unlink()
    bought(world, item_id)
    open_clicker(world).unlock(item_id)
    assert world.get(f"/v1/items/{item_id}").get_json()["rails"] == ["fake"]
    assert_nothing_lost(world)


def test_the_checkout_leads_to_the_site_with_the_grant(world: World) -> None:
    item_id = put(world, open_url=OPEN_URL)
    browser = Browser(world)
    purchase = browser.buy(item_id)
    waiting = browser.get(page_of(purchase))
    assert not FORM.search(waiting.text)
    assert waiting.headers["Content-Security-Policy"] == PAGE_POLICY
    world.pay(purchase)
    world.mine(6)
    grant = handed_over(browser.get(page_of(purchase)))
    assert call(world, "GET", "/v1/grant", grant).get_json()["item"] == item_id
    # Who comes again is led there, too; the page of the item itself carries no grant.
    offer = browser.get(f"/pay/{item_id}")
    assert f'href="{page_of(purchase)}"' in offer.text
    assert grant not in offer.text
    # With the receipt code on another device.
    other = Browser(world)
    code = f"{purchase.id}.{purchase.verifier}"
    assert other.restore(item_id, code).location.endswith(page_of(purchase))
    there = handed_over(other.get(page_of(purchase)))
    assert call(world, "GET", "/v1/grant", there).get_json()["holder"] == purchase.id
    # A stranger who knows the invoice gets nothing.
    assert "grant" not in Browser(world).get(page_of(purchase)).text
    assert_nothing_lost(world)


def test_a_balance_leads_there_and_so_do_its_purchases(world: World) -> None:
    item_id = put(world, open_url=OPEN_URL)
    buyer = Buyer(world)
    buyer.fill(20_000)
    assert buyer.pay(item_id) == read_path(item_id)
    grant = handed_over(buyer.get(read_path(item_id)))
    claims = call(world, "GET", "/v1/grant", grant).get_json()
    assert claims["holder"].startswith("ho_")
    assert "Open it" in buyer.get(f"/pay/{item_id}").text
    purchases = buyer.get("/wallet/purchases").text
    assert re.search(rf'href="/pay/{item_id}/read">Read on <bdi>Ada&#39;s blog</bdi>', purchases)
    assert grant not in purchases
    assert_nothing_lost(world)


def test_an_origin_that_was_given_up_gets_no_grants(world: World) -> None:
    item_id = put(world, open_url=OPEN_URL)
    browser = Browser(world)
    purchase = browser.buy(item_id)
    world.pay(purchase)
    world.mine(6)
    grant = world.grant(purchase)
    with write_transaction(world.session):
        change_origins(world.session, world.site_id, ["https://new.example"], [ORIGIN])
    page = browser.get(page_of(purchase))
    assert "has moved" in page.text
    assert f"{purchase.id}.{purchase.verifier}" in page.text
    assert "blog.example" not in page.text
    assert grant not in page.text
    assert page.headers["Content-Security-Policy"] == PAGE_POLICY


def test_the_dashboard_says_who_shows_it(world: World) -> None:
    person = sign_in(world, Role.EDITOR)
    item_id = put(world, content_html=LOCKED)
    put(world, open_url=OPEN_URL)
    page = person.get(f"./items/{item_id}").text
    assert "plugin shows the wall" in page
    assert "bitcache-paywall" not in page
    assert OPEN_URL.replace("&", "&amp;") in page
    assert "is kept for those who bought it" in page
    assert "On the site itself" in person.get("./items").text
    # Its words and price are changed as any other's.
    form = {"title": "Other", "teaser": "", "price": "3", "currency": "SAT", "hours": "", "url": ""}
    assert person.post(f"./items/{item_id}", form).status_code == 303
    assert world.session.get_one(Item, item_id).open_url == OPEN_URL
