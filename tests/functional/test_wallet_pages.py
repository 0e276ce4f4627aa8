"""The wallet's pages as a browser without scripts uses them."""

import re

import pytest
from sqlalchemy import func, select

from bitcache_server.extensions import db
from bitcache_server.http.headers import PAGE_POLICY
from bitcache_server.models.catalog import Item
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.services.allowances import Limits, create_allowance
from bitcache_server.services.once import in_transaction
from bitcache_server.services.site_keys import signer_for
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from bitcache_server.tokens.receipts import check_receipt
from tests.support.api import call
from tests.support.readers import Reader, offer_refunds, path_of, stored_invoice
from tests.support.shops import PRICE_MSAT
from tests.support.world import ORIGIN, PUBLIC_URL, World

PAGES = (
    "/wallet",
    "/wallet/purchases",
    "/wallet/sites",
    "/wallet/top-up",
    "/wallet/withdraw",
    "/wallet/claim",
    "/wallet/account",
)
#: Those that a browser without a wallet may open.
PUBLIC = {"/wallet", "/wallet/top-up"}


def unlock(reader: Reader, item_id: str) -> None:
    world = reader.world
    unlock_item(world.deps, world.session, UnlockOrder(reader.wallet_id, item_id, None))


def text_of(html: str) -> str:
    """Return what a page says, without its tags."""
    joined = re.sub(r"</?(?:a|code|span|strong|time)\b[^>]*>", "", html)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", joined)).strip()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_for_its_reader_and_for_nobody_else(shop: World, path: str) -> None:
    reader = Reader(shop)
    answer = reader.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
    assert 'aria-label="Wallet"' in answer.text
    stranger = call(shop, "GET", path)
    if path in PUBLIC:
        assert stranger.status_code == 200
        assert 'aria-label="Wallet"' not in stranger.text
    else:
        assert path_of(stranger).startswith("/wallet/sign-in?next=%2Fwallet")


def test_the_balance_shows_own_money_and_the_gift_apart(shop: World) -> None:
    reader = Reader(shop)
    reader.give(2_000_500)
    reader.fill(20_000)
    page = text_of(reader.get("/wallet").text)
    assert "22,000.5 sats" in page
    assert "Your own money 20,000 sats" in page
    assert "Gift 2,000.5 sats" in page
    assert "This money hangs on this browser alone." in page
    unlock(reader, shop.article_id)
    page = text_of(reader.get("/wallet").text)
    assert "On engines \N{MINUS SIGN}5,000 sats" in page
    assert "2,000.5 sats of it gift" in page
    assert "Top-up +20,000 sats" in page


def test_a_gift_alone_asks_nobody_to_secure_it(shop: World) -> None:
    reader = Reader(shop)
    reader.give(2_000_000)
    assert "hangs on this browser" not in reader.get("/wallet").text


def test_a_reader_without_a_wallet_gets_one_with_the_first_code(shop: World) -> None:
    client = shop.app.test_client()
    welcome = client.get("/wallet", base_url=PUBLIC_URL)
    assert "One balance for every site" in welcome.text
    headers = {"Origin": PUBLIC_URL}
    db.session.rollback()
    made = client.post(
        "/wallet/top-up", base_url=PUBLIC_URL, headers=headers, data={"amount": "20,000"}
    )
    cookie = made.headers["Set-Cookie"]
    assert cookie.startswith("__Host-bitcache_wallet=wa_")
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    db.session.rollback()
    page = client.get(path_of(made), base_url=PUBLIC_URL).text
    assert "Scan and pay" in page
    assert "0.0002" in page
    assert 'http-equiv="refresh"' in page
    # The second code goes to the same wallet.
    db.session.rollback()
    client.post("/wallet/top-up", base_url=PUBLIC_URL, headers=headers, data={"amount": "5000"})
    db.session.rollback()
    assert shop.session.scalar(select(func.count()).select_from(Wallet)) == 1


def test_the_page_of_a_top_up_follows_the_payment(shop: World) -> None:
    reader = Reader(shop)
    path = path_of(reader.post("/wallet/top-up", amount="20000", next="/pay/it_x"))
    assert path.endswith("?next=%2Fpay%2Fit_x")
    invoice_id = path.split("?")[0].rpartition("/")[2]
    code = re.search(r'<img src="([^"]+)"', reader.get(path).text)
    assert code is not None
    picture = reader.get(code[1].replace("&amp;", "&").removeprefix(PUBLIC_URL))
    assert picture.mimetype == "image/svg+xml"
    reader.pay_in(invoice_id, 12_000_000, mine=False)
    seen = text_of(reader.get(path).text)
    assert "Payment seen 12,000 sats are on their way" in seen
    assert "0 of 1 confirmation." in seen
    assert "12,000 sats are on their way" in text_of(reader.get("/wallet").text)
    shop.mine()
    page = reader.get(path).text
    assert "12,000 sats are in your balance" in text_of(page)
    assert 'href="/pay/it_x">Go on</a>' in page
    shop.expire(901)
    assert 'http-equiv="refresh"' not in reader.get(path).text


def test_a_strangers_top_up_is_not_shown(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    invoice_id = other.top_up()
    answer = reader.get(f"/wallet/top-up/{invoice_id}")
    assert answer.status_code == 404
    assert "20,000" not in answer.text
    assert stored_invoice(shop, invoice_id).wallet_id == other.wallet_id


def test_a_code_that_has_expired_offers_another(shop: World) -> None:
    reader = Reader(shop)
    path = f"/wallet/top-up/{reader.top_up()}"
    shop.expire(901)
    page = reader.get(path).text
    assert "This code has expired" in page
    assert 'href="/wallet/top-up">Get a new code</a>' in page


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("", "Write the amount as a whole number"),
        ("20,5", "Write the amount as a whole number"),
        ("2e9", "Write the amount as a whole number"),
        ("٣٠٠٠", "Write the amount as a whole number"),
        ("-5000", "Write the amount as a whole number"),
        ("9" * 21, "That is more than there is."),
        ("999", "Choose an amount from 1,000 to 1,000,000 sats."),
    ],
)
def test_a_wrong_amount_is_told_where_it_was_written(shop: World, amount: str, words: str) -> None:
    reader = Reader(shop)
    answer = reader.post("/wallet/top-up", amount=amount)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{amount[:20]}"' in answer.text


def test_no_rail_no_form(shop: World) -> None:
    reader = Reader(shop)
    shop.clock.pass_time(601)
    page = reader.get("/wallet/top-up").text
    assert "Nothing can be paid in right now" in page
    answer = reader.post("/wallet/top-up", amount="20000")
    assert answer.status_code == 503
    assert "has not been in reach lately" in answer.text


def test_purchases_lead_back_and_carry_receipts(shop: World) -> None:
    reader = Reader(shop)
    reader.give(20_000_000)
    unlock(reader, shop.article_id)
    shop.clock.pass_time(1)
    unlock(reader, shop.file_id)
    with write_transaction(shop.session):
        shop.session.get_one(Item, shop.article_id).url = f"{ORIGIN}/engines"
    page = reader.get("/wallet/purchases").text
    assert page.index("A song") < page.index("On engines")
    assert f'<a href="{ORIGIN}/engines">On engines</a>' in page
    assert f'href="{PUBLIC_URL}/pay/{shop.file_id}">A song</a>' in page
    assert "Give back" not in page
    receipt = f"/wallet/purchases/{shop.article_id}/1/receipt"
    assert "5,000 sats" in text_of(reader.get(receipt).text)
    saved = reader.get(f"{receipt}.txt")
    assert saved.headers["Content-Disposition"].startswith("attachment")
    token = saved.text.splitlines()[-1]
    signer = signer_for(shop.deps, shop.session, shop.site_id)
    claims = check_receipt(signer, token, site=shop.site_id)
    assert (claims.item, claims.amount_msat) == (shop.article_id, PRICE_MSAT)
    shop.session.rollback()
    for path in (receipt, f"{receipt}.txt"):
        assert Reader(shop).get(path).status_code == 404
    assert reader.get(f"/wallet/purchases/{shop.article_id}/2/receipt").status_code == 404


def test_many_purchases_have_pages(shop: World) -> None:
    reader = Reader(shop)
    reader.give(100_000_000)
    for number in range(23):
        item = {"title": f"No. {number}.", "price": 1, "currency": "SAT", "content_html": "<p>x"}
        made = call(shop, "POST", "/v1/items", shop.secret, json=item).get_json()
        shop.clock.pass_time(1)
        unlock(reader, made["id"])
    first, second = (reader.get(f"/wallet/purchases?page={n}").text for n in (1, 2))
    assert [f"No. {n}." in first for n in (22, 3, 2)] == [True, True, False]
    assert [f"No. {n}." in second for n in (3, 2, 0)] == [False, True, True]
    assert 'href="/wallet/purchases?page=2">Older' in first
    for odd in ("0", "-1", "x", "9" * 30, "٢"):
        assert reader.get(f"/wallet/purchases?page={odd}").status_code == 200


def test_a_purchase_is_given_back_where_the_merchant_offers_it(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(20_000)
    unlock(reader, shop.article_id)
    form = f"/wallet/purchases/{shop.article_id}/refund"
    refused = reader.post(form)
    assert refused.status_code == 409
    assert "can be returned is over" in refused.text
    offer_refunds(shop)
    assert f'action="{form}"' in reader.get("/wallet/purchases").text
    assert reader.post(form, origin="https://evil.example").status_code == 403
    assert path_of(reader.post(form)) == "/wallet/purchases?done=refunded"
    assert reader.own_msat == 20_000_000
    page = reader.get("/wallet/purchases?done=refunded").text
    assert "The money is in your balance again." in page
    assert "Receipt" not in text_of(page)
    assert "Given back" in text_of(reader.get("/wallet").text)
    assert reader.post(form).status_code == 409
    receipt = f"/wallet/purchases/{shop.article_id}/1/receipt"
    assert reader.get(receipt).status_code == 404


def test_allowances_are_listed_and_revoked(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    limits = Limits(20_000_000, 200_000_000, 5_000_000, 90)
    allowance_id = in_transaction(
        shop.session,
        lambda: (
            create_allowance(
                shop.deps, shop.session, reader.wallet_id, shop.site_id, ORIGIN, limits
            ).id
        ),
    )
    page = text_of(reader.get("/wallet/sites").text)
    assert "Ada&#39;s blog" in page
    assert "For one item, at most 20,000 sats On one day, at most 200,000 sats" in page
    form = f"/wallet/sites/{allowance_id}/revoke"
    assert other.post(form).status_code == 403
    assert reader.post(form, origin="https://evil.example").status_code == 403
    assert "Ada" in reader.get("/wallet/sites").text
    assert path_of(reader.post(form)) == "/wallet/sites?done=revoked"
    assert "Ada" not in reader.get("/wallet/sites").text
    assert reader.post(form).status_code == 303


FORMS = (
    "/wallet/top-up",
    "/wallet/claim",
    "/wallet/withdraw",
    "/wallet/delete",
    "/wallet/sites/al_x/revoke",
    "/wallet/purchases/it_x/refund",
)


@pytest.mark.parametrize("path", FORMS)
def test_forms_of_other_sites_are_refused(shop: World, path: str) -> None:
    reader = Reader(shop)
    reader.fill(20_000)
    wallet = reader.wallet
    sent = {"amount": "20000", "understood": "1", "give_up": "1", "code": "x"}
    for origin in ("https://evil.example", "null", ORIGIN):
        answer = reader.post(path, origin=origin, **sent)
        assert (answer.status_code, answer.mimetype) == (403, "text/html")
        assert "Set-Cookie" not in answer.headers
    assert vars(reader.wallet).keys() == vars(wallet).keys()
    assert (reader.own_msat, reader.wallet.closed_at) == (20_000_000, None)


def test_a_title_cannot_write_html(shop: World) -> None:
    with write_transaction(shop.session):
        shop.session.get_one(Item, shop.article_id).title = "<script>alert(1)</script>"
    reader = Reader(shop)
    reader.give(20_000_000)
    unlock(reader, shop.article_id)
    for path in ("/wallet", "/wallet/purchases", f"/wallet/purchases/{shop.article_id}/1/receipt"):
        page = reader.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
