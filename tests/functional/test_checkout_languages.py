"""The checkout in other languages: what is asked for, remembered, and read from the right."""

import re

import pytest
from babel.support import Translations

from bitcache_server.http import language as spoken
from bitcache_server.i18n import translations
from bitcache_server.services.rail_health import record_health
from tests.functional.test_pages import Browser
from tests.support.orders import make_order, sat_order
from tests.support.world import PUBLIC_URL, World

HTML = re.compile(r'<html lang="(\w+)" dir="(\w+)">')


class Shouting(Translations):
    """A catalogue that knows every message: in capitals, so that what has none stands out."""

    def ugettext(self, message: str) -> str:
        return _loud(message)

    def ungettext(self, singular: str, plural: str, number: int) -> str:
        return _loud(singular if number == 1 else plural)


def _loud(message: str) -> str:
    parts = re.split(r"(%\(\w+\)s|%%)", message)
    return "".join(part if part.startswith("%") else part.upper() for part in parts)


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let German be shouted English."""
    monkeypatch.setattr(
        spoken, "translations", lambda code: Shouting() if code == "de" else translations(code)
    )


def head_of(text: str) -> tuple[str, str]:
    [(code, direction)] = HTML.findall(text)
    return str(code), str(direction)


def words_of(page: str) -> list[str]:
    """Return the words that a page shows or says, without titles and names of people."""
    body = re.sub(r"<ul class=\"languages\".*?</ul>", "", page, flags=re.S)
    said = re.findall(r'(?:alt|aria-label)="([^"]*)"', body)
    shown = re.sub(r"<(?:code|bdi|time)[^>]*>.*?</(?:code|bdi|time)>", " ", body, flags=re.S)
    shown = re.sub(r"<!--.*?-->|<head>.*?</head>|<[^>]+>|&\w+;", " ", shown, flags=re.S)
    # Addresses and codes are long and without spaces; errors have names of their own.
    text = re.sub(r"\S{24,}|[a-z]+_[a-z_]+", " ", f"{shown} {' '.join(said)}")
    return re.findall(r"[A-Za-z]{2,}", text)


#: What is written the same in every language: units, brands, names of the test's own.
SAME = {
    "USD", "BTC", "UTC", "Bitcache", "On", "engines", "Engines", "song", "ogg", "Ada", "blog",
    "Earl", "Grey", "Tea", "Shipping", "kB", "KB", "Nov", "Jan", "fake", "bitcoin",
}  # fmt: skip


def assert_all_translated(page: str) -> None:
    left = [word for word in words_of(page) if not word.isupper() and word not in SAME]
    assert left == []


def test_the_language_is_asked_for_kept_and_accepted(sqlite_world: World) -> None:
    browser, path = Browser(sqlite_world), f"/pay/{sqlite_world.article_id}"
    assert head_of(browser.get(path).text) == ("en", "ltr")
    assert head_of(browser.get(f"{path}?lang=ar").text) == ("ar", "rtl")
    assert head_of(browser.get(path).text) == ("ar", "rtl")
    assert head_of(browser.get(f"{path}?lang=xx").text) == ("ar", "rtl")
    other = sqlite_world.app.test_client()
    accepted = other.get(path, base_url=PUBLIC_URL, headers={"Accept-Language": "fr-CH, en;q=0.5"})
    assert head_of(accepted.text) == ("fr", "ltr")


def test_the_switch_keeps_the_rest_of_the_address(sqlite_world: World) -> None:
    browser = Browser(sqlite_world)
    purchase = browser.buy(sqlite_world.article_id)
    page = browser.get(f"/pay/invoices/{purchase.id}?way=onchain&still=1").text
    assert 'href="?way=onchain&amp;still=1&amp;lang=de"' in page


@pytest.mark.usefixtures("loud")
def test_every_page_of_an_article_is_translated(sqlite_world: World) -> None:
    world, browser = sqlite_world, Browser(sqlite_world)
    item = f"/pay/{world.article_id}"
    assert_all_translated(browser.get(f"{item}?lang=de").text)
    purchase = browser.buy(world.article_id)
    invoice = f"/pay/invoices/{purchase.id}"
    assert_all_translated(browser.get(invoice).text)
    assert_all_translated(browser.get(item).text)
    world.pay(purchase, 2_000_000)
    world.mine()
    assert_all_translated(browser.get(invoice).text)
    world.expire(7_200)
    assert_all_translated(browser.get(invoice).text)
    assert_all_translated(browser.get("/pay/it_nothing").text)
    assert_all_translated(browser.restore(world.article_id, "nonsense").text)
    record_health(world.deps, world.session, world.rail)
    song = browser.buy(world.file_id)
    world.pay(song)
    world.mine()
    assert_all_translated(browser.get(f"/pay/invoices/{song.id}").text)
    assert_all_translated(Browser(world).get(f"/pay/invoices/{song.id}?lang=de").text)
    assert_all_translated(browser.get(f"/pay/{world.file_id}").text)


@pytest.mark.usefixtures("loud")
def test_every_page_of_an_order_is_translated(sqlite_world: World) -> None:
    world, browser = sqlite_world, Browser(sqlite_world)
    order = make_order(world, reference="77")
    page = f"/pay/orders/{order['id']}"
    assert_all_translated(browser.get(f"{page}?lang=de").text)
    purchase = browser.buy(f"orders/{order['id']}")
    assert_all_translated(browser.get(f"/pay/invoices/{purchase.id}").text)
    world.pay(purchase)
    world.mine(6)
    assert_all_translated(browser.get(f"/pay/invoices/{purchase.id}").text)
    assert_all_translated(browser.get(page).text)
    assert_all_translated(Browser(world).get(f"{page}?lang=de").text)
    over = sat_order(world, reference="78", expires_in_s=60)
    world.clock.pass_time(61)
    shown = browser.get(f"/pay/orders/{over['id']}").text.replace("A print", "")
    assert_all_translated(shown)
    assert_all_translated(browser.get("/pay/orders/or_nothing").text)
    assert_all_translated(browser.get("/order").text)


@pytest.mark.usefixtures("loud")
def test_the_wallet_speaks_the_language_of_its_words(sqlite_world: World) -> None:
    browser = Browser(sqlite_world)
    page = browser.get("/wallet?lang=de").text
    assert head_of(page) == ("en", "ltr")
    assert 'class="languages"' not in page
    assert "BALANCE" not in page


def test_numbers_are_written_as_the_language_does(sqlite_world: World) -> None:
    order = make_order(sqlite_world, lines=[{"title": "x", "unit_minor": 123_456}],
                       total_minor=123_456)  # fmt: skip
    browser = Browser(sqlite_world)
    assert "1.234,56 USD" in browser.get(f"/pay/orders/{order['id']}?lang=de").text
    assert "1,234.56 USD" in browser.get(f"/pay/orders/{order['id']}?lang=en").text
