"""The hosted checkout for a browser that has a balance."""

import re

import pytest

from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from tests.functional.test_pages import Browser, check_headers, page_of
from tests.support.readers import Reader, path_of
from tests.support.shops import PRICE_MSAT, sell_at, transfers
from tests.support.world import PUBLIC_URL, Purchase, World


class Buyer(Reader):
    """A reader with a wallet at the checkout."""

    def fields(self, item_id: str) -> dict[str, str]:
        """Return what the form of the first offer sends."""
        page = self.get(f"/pay/{item_id}").text
        return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))

    def pay(self, item_id: str, **changed: str) -> str:
        """Pay from the balance; return where it leads."""
        form = {**self.fields(item_id), **changed}
        return path_of(self.post(f"/pay/{item_id}/balance", **form))


@pytest.fixture
def buyer(shop: World) -> Buyer:
    return Buyer(shop)


def read_path(item_id: str) -> str:
    return f"/pay/{item_id}/read"


def test_the_balance_is_the_first_offer_and_one_form(shop: World, buyer: Buyer) -> None:
    buyer.fill(20_000)
    page = buyer.get(f"/pay/{shop.article_id}")
    check_headers(page)
    assert page.text.index("Pay from your balance") < page.text.index("Pay with bitcoin")
    assert "20,000</span> sats left)" in page.text
    assert buyer.pay(shop.article_id) == read_path(shop.article_id)
    opened = buyer.get(read_path(shop.article_id))
    check_headers(opened)
    assert "<p>The locked part, ünïcode and <b>bold</b>.</p>" in opened.text
    assert buyer.own_msat == 20_000_000 - PRICE_MSAT
    again = buyer.get(f"/pay/{shop.article_id}").text
    assert "You own this" in again
    assert "Pay with bitcoin" not in again


def test_sending_the_form_twice_pays_once(shop: World, buyer: Buyer) -> None:
    buyer.fill(20_000)
    form = buyer.fields(shop.article_id)
    later = buyer.fields(shop.article_id)
    assert form["key"] != later["key"]
    for sent in (form, form, later):
        answer = buyer.post(f"/pay/{shop.article_id}/balance", **sent)
        assert path_of(answer) == read_path(shop.article_id)
    assert len(transfers(shop, Kind.SALE)) == 1


def test_a_balance_at_exactly_the_price(shop: World, buyer: Buyer) -> None:
    buyer.fill(5_000)
    assert buyer.pay(shop.article_id) == read_path(shop.article_id)
    assert buyer.own_msat == 0
    poor = Buyer(shop)
    poor.give(PRICE_MSAT - 1)
    page = poor.get(f"/pay/{shop.article_id}").text
    assert "too small for this" in page
    assert f'href="/wallet/top-up?next=%2Fpay%2F{shop.article_id}"' in page
    assert "/balance" not in page
    answer = poor.post(f"/pay/{shop.article_id}/balance", price_msat=str(PRICE_MSAT))
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    assert poor.gift_msat == PRICE_MSAT - 1


def test_a_price_that_rose_is_asked_again(shop: World, buyer: Buyer) -> None:
    item_id = sell_at(shop, 4_000)
    buyer.fill(20_000)
    form = buyer.fields(item_id)
    with write_transaction(shop.session):
        shop.session.get_one(Item, item_id).price_amount = 6_000
    answer = buyer.post(f"/pay/{item_id}/balance", **form)
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    assert "6,000 sats" in answer.text
    assert buyer.own_msat == 20_000_000


def test_a_file_from_the_balance(shop: World, buyer: Buyer) -> None:
    buyer.fill(20_000)
    page = buyer.get(buyer.pay(shop.file_id)).text
    link = page.split('href="https://pay.example/files/')[1].split('"')[0]
    assert buyer.get(f"/files/{link}").data == bytes(range(256)) * 400


def test_nobody_else_reads_it(shop: World, buyer: Buyer) -> None:
    buyer.fill(20_000)
    buyer.pay(shop.article_id)
    path = read_path(shop.article_id)
    assert path_of(Buyer(shop).get(path)) == f"/pay/{shop.article_id}"
    stranger = Browser(shop)
    assert path_of(stranger.get(path)).startswith("/wallet/sign-in?next=%2Fpay%2F")
    answer = stranger.post(f"/pay/{shop.article_id}/balance", price_msat="1")
    assert path_of(answer).startswith("/wallet/sign-in?next=%2Fpay%2F")
    assert buyer.get("/pay/it_unknown/read").status_code == 404


def test_other_sites_cannot_press_the_button(shop: World, buyer: Buyer) -> None:
    buyer.fill(20_000)
    form = buyer.fields(shop.article_id)
    for origin in ("https://evil.example", "null", "https://blog.example"):
        answer = buyer.post(f"/pay/{shop.article_id}/balance", origin=origin, **form)
        assert answer.status_code == 403
    assert buyer.own_msat == 20_000_000


def test_access_that_has_ended_is_sold_again(shop: World, buyer: Buyer) -> None:
    item_id = sell_at(shop, 2_000)
    with write_transaction(shop.session):
        shop.session.get_one(Item, item_id).access_hours = 1
    buyer.fill(20_000)
    form = buyer.fields(item_id)
    assert path_of(buyer.post(f"/pay/{item_id}/balance", **form)) == read_path(item_id)
    shop.clock.pass_time(3_600)
    assert path_of(buyer.get(read_path(item_id))) == f"/pay/{item_id}"
    # An old tab is told; the page itself sells it again.
    stale = buyer.post(f"/pay/{item_id}/balance", **form)
    assert stale.status_code == 409
    assert buyer.pay(item_id) == read_path(item_id)
    assert buyer.own_msat == 16_000_000


def at_checkout(shop: World, reader: Reader, paid_msat: int, *, in_time: bool) -> Purchase:
    """Buy at the checkout in the reader's browser and pay an amount."""
    browser = Browser(shop)
    browser.client = reader.client
    purchase = browser.buy(shop.article_id)
    if not in_time:
        shop.expire(901)
    shop.pay(purchase, paid_msat)
    shop.mine()
    return purchase


@pytest.mark.parametrize(
    ("paid_msat", "in_time", "moved_msat"),
    [
        (PRICE_MSAT, False, PRICE_MSAT),
        (2_000_000, False, 2_000_000),
        (PRICE_MSAT + 700_000, True, 700_000),
    ],
)
def test_what_is_left_over_moves_to_the_balance(
    shop: World, buyer: Buyer, paid_msat: int, in_time: bool, moved_msat: int
) -> None:
    purchase = at_checkout(shop, buyer, paid_msat, in_time=in_time)
    path = page_of(purchase)
    button = f'<form method="post" action="{path}/to-balance">'
    page = buyer.get(path)
    assert button in page.text
    assert f"Move {moved_msat // 1000:,} sats to your balance" in page.text
    assert buyer.post(f"{path}/to-balance", origin="https://evil.example").status_code == 403
    assert path_of(buyer.post(f"{path}/to-balance")) == "/wallet?done=claimed"
    assert buyer.own_msat == moved_msat
    assert button not in buyer.get(path).text
    assert ("locked part" in buyer.get(path).text) == in_time
    again = buyer.post(f"{path}/to-balance")
    assert again.status_code == 409
    assert "moved to a balance before" in again.text


def test_without_wallet_or_verifier_nothing_is_offered_to_move(shop: World, buyer: Buyer) -> None:
    purchase = at_checkout(shop, buyer, PRICE_MSAT, in_time=False)
    path = page_of(purchase)
    thief = Buyer(shop)
    for other in (thief, Browser(shop)):
        assert "to-balance" not in other.get(path).text
    assert thief.post(f"{path}/to-balance").status_code == 403
    assert Browser(shop).post(f"{path}/to-balance").status_code == 401
    assert (thief.own_msat, buyer.own_msat) == (0, 0)


@pytest.mark.parametrize("price", [None, "", "x", "-1", "9" * 19, "9" * 5_000, "5e6", "\u0665"])
def test_a_form_without_the_price_pays_nothing(
    shop: World, buyer: Buyer, price: str | None
) -> None:
    buyer.fill(20_000)
    form = {} if price is None else {"price_msat": price}
    answer = buyer.post(f"/pay/{shop.article_id}/balance", **form)
    assert answer.status_code == 422
    assert "without the price" in answer.text
    assert buyer.own_msat == 20_000_000


def test_who_comes_from_a_site_pays_with_a_second_click(shop: World, buyer: Buyer) -> None:
    buyer.fill(20_000)
    path = f"/pay/{shop.article_id}"

    def look(fetched_from: str) -> str:
        shop.session.rollback()
        headers = {"Sec-Fetch-Site": fetched_from}
        return buyer.client.get(path, base_url=PUBLIC_URL, headers=headers, buffered=True).text

    for elsewhere in ("cross-site", "same-site"):
        page = look(elsewhere)
        assert f'action="{path}/balance"' not in page
        assert re.search(rf'href="{path}">Use your balance', page)
    for here in ("same-origin", "none"):
        assert f'action="{path}/balance"' in look(here)
