"""No rate source ever blocks a sale: the last good rate, then items priced in sats."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.catalog import Item
from bitcache_server.models.operations import StoredRate
from bitcache_server.models.session import write_transaction
from bitcache_server.rates.base import RateSource, RateSourceError
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.tokens.verifier import challenge_of
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.world import START, World, make_settings, make_world

MAX_AGE_S = 7_200


@dataclass
class Ticker:
    """A source that says what a test tells it, and remembers what it was asked."""

    name: str
    prices: dict[str, Decimal] = field(default_factory=lambda: {"USD": Decimal(1000)})
    asked: list[str] = field(default_factory=list)

    def fetch(self, currency: str) -> Decimal:
        """Return the price or fail."""
        self.asked.append(currency)
        try:
            return self.prices[currency]
        except KeyError:
            raise RateSourceError("does not answer") from None


@pytest.fixture
def tickers() -> list[Ticker]:
    return [Ticker("one"), Ticker("two"), Ticker("three")]


@pytest.fixture
def shop(database_url: str, tmp_path: Path, tickers: list[Ticker]) -> Iterator[World]:
    settings = make_settings(
        tmp_path, database_url, rate_max_age_s=MAX_AGE_S, rail_stale_after_s=10**8
    )
    sources: list[RateSource] = list(tickers)
    world = make_world(settings, rate_sources=sources)
    with world.app.app_context():
        yield world
        assert_nothing_lost(world)
        db.session.remove()
        db.engine.dispose()


def _refresh(shop: World) -> dict[str, str]:
    return refresh_rates(shop.deps, shop.session)


def _health(shop: World) -> dict[str, tuple[bool, str]]:
    record_health(shop.deps, shop.session, shop.rail)
    parts = shop.get("/health").get_json()["parts"]
    return {part["name"]: (part["ok"], part["code"]) for part in parts}


def _refusal(shop: World, item_id: str) -> tuple[int, str]:
    body = {"item": item_id, "challenge": challenge_of("v" * 43), "rail": "fake"}
    answer = shop.post("/v1/invoices", body)
    return answer.status_code, str(answer.get_json().get("code"))


def test_the_median_sells(shop: World, tickers: list[Ticker]) -> None:
    for ticker, price in zip(tickers, ["900", "1000", "5000"], strict=True):
        ticker.prices = {"USD": Decimal(price)}
    shop.clock.pass_time(10)
    assert _refresh(shop) == {}
    invoice = shop.buy().invoice
    # 5000 is far away from the others and is left out.
    assert invoice["price"]["rate"] == {
        "price_per_btc": "950",
        "currency": "USD",
        "as_of": START + 10,
        "age_s": 0,
    }
    assert invoice["amount_msat"] == -(-5 * 10**11 // (100 * 950)) == 5_263_158


def test_silent_sources_leave_the_last_rate_with_its_age(
    shop: World, tickers: list[Ticker]
) -> None:
    for ticker in tickers:
        ticker.prices = {}
    shop.clock.pass_time(MAX_AGE_S)
    silent = _refresh(shop)
    assert set(silent) == {"USD"}
    assert "one: does not answer" in silent["USD"]
    invoice = shop.buy().invoice
    assert invoice["price"]["rate"]["age_s"] == MAX_AGE_S
    assert invoice["price"]["rate"]["as_of"] == START
    assert _health(shop)["rates"] == (True, "ok")


def test_a_rate_that_is_too_old_stops_fiat_prices_only(shop: World, tickers: list[Ticker]) -> None:
    for ticker in tickers:
        ticker.prices = {}
    shop.clock.pass_time(MAX_AGE_S + 1)
    _refresh(shop)
    assert _refusal(shop, shop.article_id) == (503, "rate_unavailable")
    assert _health(shop)["rates"] == (False, "rates_old")
    item = shop.get(f"/v1/items/{shop.article_id}").get_json()
    assert (item["price"]["amount_msat"], item["rails"]) == (None, [])
    assert item["price"]["fiat"] == {"currency": "USD", "amount_minor": 5, "exponent": 2}
    in_sats = shop.buy(shop.file_id)
    assert in_sats.invoice["price"]["rate"] is None
    shop.pay(in_sats)
    assert shop.read(in_sats)["state"] == "paid"
    tickers[0].prices = {"USD": Decimal(2000)}
    assert _refresh(shop) == {}
    assert shop.buy().invoice["amount_msat"] == 2_500_000
    assert _health(shop)["rates"] == (True, "ok")


def test_an_old_rate_still_finishes_a_sale(shop: World, tickers: list[Ticker]) -> None:
    purchase = shop.buy()
    for ticker in tickers:
        ticker.prices = {}
    shop.expire(MAX_AGE_S + 1)
    shop.rail.confirm()
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    shop.mine()
    assert shop.read(purchase)["state"] == "paid"
    assert shop.claim(purchase).status_code == 200


def test_credit_waits_for_a_rate(shop: World, tickers: list[Ticker]) -> None:
    purchase = shop.buy()
    shop.expire(901)
    shop.pay(purchase)
    shop.clock.pass_time(MAX_AGE_S)
    path, body = f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier}
    answer = shop.post(path, body)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "rate_unavailable")
    assert shop.read(purchase)["credit_msat"] == 5_000_000
    # Bitcoin rose meanwhile: at today's price the credit buys the item and leaves some.
    tickers[0].prices = tickers[1].prices = tickers[2].prices = {"USD": Decimal(1250)}
    _refresh(shop)
    assert shop.post(path, body).status_code == 200
    assert shop.read(purchase)["credit_msat"] == 1_000_000


def test_the_currencies_in_use_are_fetched(shop: World, tickers: list[Ticker]) -> None:
    yen = sell_at(shop, "5", "JPY")
    assert _refusal(shop, yen) == (503, "rate_unavailable")
    for ticker in tickers:
        ticker.prices = {"USD": Decimal(1000), "JPY": Decimal(150_000)}
        ticker.asked.clear()
    assert _refresh(shop) == {}
    assert all(sorted(ticker.asked) == ["JPY", "USD"] for ticker in tickers)
    assert shop.buy(yen).invoice["amount_msat"] == -(-5 * 10**11 // 150_000)


def test_one_silent_currency_does_not_stop_another(shop: World, tickers: list[Ticker]) -> None:
    sell_at(shop, "0.05", "EUR")
    shop.clock.pass_time(60)
    assert set(_refresh(shop)) == {"EUR"}
    assert shop.buy().invoice["price"]["rate"]["age_s"] == 0
    assert tickers[0].asked[-2:] == ["EUR", "USD"]


def test_a_currency_that_nobody_uses_any_more_does_not_look_ill(
    shop: World, tickers: list[Ticker]
) -> None:
    item_id = sell_at(shop, "5", "JPY")
    for ticker in tickers:
        ticker.prices["JPY"] = Decimal(150_000)
    _refresh(shop)
    with write_transaction(shop.session):
        item = shop.session.get_one(Item, item_id)
        item.price_currency, item.price_amount = "SAT", 5_000
    shop.clock.pass_time(MAX_AGE_S + 1)
    _refresh(shop)
    assert _health(shop)["rates"] == (True, "ok")
    assert shop.session.scalars(select(StoredRate.currency)).all() == ["USD"]
    shop.session.rollback()


def test_selling_asks_no_source(shop: World, tickers: list[Ticker]) -> None:
    asked = [list(ticker.asked) for ticker in tickers]
    shop.get(f"/v1/items/{shop.article_id}")
    shop.pay(shop.buy())
    assert [ticker.asked for ticker in tickers] == asked
