"""What is easily told in two ways: closed months, prices that change meanwhile, taxes of orders."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import StorageBusy
from bitcache_server.extensions import db
from bitcache_server.ledger import balances
from bitcache_server.ledger.spend import spend_within
from bitcache_server.models.catalog import Item
from bitcache_server.models.sales_book import SiteTax
from bitcache_server.models.session import write_transaction
from bitcache_server.models.visits import ItemDay, TakingQuarter
from bitcache_server.models.webhooks import WebhookEvent
from bitcache_server.services import sales_book as job
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.merchants import get_site
from bitcache_server.services.monthly import MonthlyStatement, monthly_statement, parse_month
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.refund import refund_by_merchant
from bitcache_server.services.unlock_item import UnlockOrder, read_offer, to_spend
from tests.functional.test_sales_exports import MONTH, rows_of, tax
from tests.support.api import at_once
from tests.support.databases import Databases
from tests.support.orders import TOTAL_MINOR, begin, make_order
from tests.support.purchases import buy_from_balance, fill_wallet, holder_of
from tests.support.sales_book import book, ledger_net_msat, write_book
from tests.support.shops import assert_nothing_lost, opened_world, sell_at
from tests.support.webhooks import listen
from tests.support.world import World

AMOUNTS = ("price_msat", "commission_msat", "shares_msat", "merchant_msat")


def month(world: World, text: str) -> MonthlyStatement:
    """Return a month after the book was written up."""
    write_book(world)
    merchant = get_merchant(world.session, world.merchant_id)
    return monthly_statement(world.session, merchant, parse_month(text), world.clock())


def go_to(world: World, moment: datetime) -> None:
    """Set the clock, with rates and rails that are well then."""
    world.clock.now = int(moment.timestamp())
    record_health(world.deps, world.session, world.rail)
    refresh_rates(world.deps, world.session)


def give_back(world: World, item_id: str) -> None:
    """Let the merchant give the reader's purchase back."""
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        refund_by_merchant(world.deps, world.session, site, holder_of(world), item_id)


def pay_order(world: World, order: dict[str, Any]) -> None:
    """Pay an order by an invoice, and wait until the money is final."""
    world.pay(begin(world, order))
    world.mine(6)


def test_a_refund_later_leaves_the_worth_of_a_closed_month(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    before = month(world, "2027-01")
    assert before.fiat_minor == {"USD": 7}
    go_to(world, datetime(2027, 2, 3, tzinfo=UTC))
    give_back(world, world.file_id)
    january, february = month(world, "2027-01"), month(world, "2027-02")
    assert january.is_over
    assert (january.turnover, january.fiat_minor) == (before.turnover, before.fiat_minor)
    assert february.fiat_minor == {"USD": -7}
    assert_nothing_lost(world)


def test_what_is_given_back_in_the_same_month_is_worth_nothing(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    give_back(world, world.file_id)
    assert month(world, "2027-01").fiat_minor == {"USD": 0}


def test_a_price_in_sats_that_became_one_in_dollars_has_its_worth(world: World) -> None:
    """The invoice was made before the change and is paid after it."""
    item_id = sell_at(world, 2_000)
    purchase = world.buy(item_id)
    with write_transaction(world.session):
        item = world.session.get_one(Item, item_id)
        item.price_currency, item.price_amount = "USD", 900
    world.pay(purchase)
    (sale,) = book(world)
    assert (sale.price_msat, sale.fiat_currency, sale.fiat_minor) == (2_000_000, "USD", 2)
    assert_nothing_lost(world)


def test_a_price_in_dollars_that_became_one_in_sats_is_that_of_its_invoice(world: World) -> None:
    item_id = sell_at(world, "0.09", "USD")
    purchase = world.buy(item_id)
    with write_transaction(world.session):
        get_merchant(world.session, world.merchant_id).currency = "JPY"
        item = world.session.get_one(Item, item_id)
        item.price_currency, item.price_amount = "SAT", 1
    world.pay(purchase)
    (sale,) = book(world)
    assert (sale.fiat_currency, sale.fiat_minor, sale.rate_price_per_btc) == ("USD", 9, "1000")
    assert_nothing_lost(world)


def test_an_order_is_booked_with_the_taxes_of_its_lines(world: World) -> None:
    """The line that names no rate has the site's as it was when the order was made."""
    tax(world, 70_000)
    order = make_order(world, reference="A-7")
    assert [line["tax_ppm"] for line in order["lines"]] == [190_000, 70_000]
    assert [one["tax_minor"] for one in order["taxes"]] == [160, 16]
    with write_transaction(world.session):
        later = world.clock() + 1
        world.session.add(SiteTax(site_id=world.site_id, since=later, name="MwSt.", tax_ppm=50_000))
    world.clock.pass_time(1)
    # The same call again is the same order, whatever the site's rate has become.
    assert make_order(world, reference="A-7") == order
    pay_order(world, order)
    book(world)
    whole = {row["sale"]: row for row in rows_of(world, "./sales.csv")}
    dear, cheap = rows_of(world, f"./sales/accounting.csv?month={MONTH}")
    assert (dear["tax_percent"], dear["gross"], dear["tax"], dear["net"]) == (
        "19", "10.00", "1.60", "8.40",
    )  # fmt: skip
    assert (cheap["tax_percent"], cheap["gross"], cheap["tax"], cheap["net"]) == (
        "7", "2.50", "0.16", "2.34",
    )  # fmt: skip
    assert dear["document"] == cheap["document"]
    sold = whole[dear["document"]]
    names = ("price_msat", "commission_msat", "shares_msat", "net_msat")
    for part, name in zip(AMOUNTS, names, strict=True):
        assert int(dear[part]) + int(cheap[part]) == int(sold[name]), name
    for row in (dear, cheap):
        parts = [int(row[name]) for name in AMOUNTS]
        assert parts[0] == sum(parts[1:])
    assert sold["value"] == f"{TOTAL_MINOR / 100:.2f}"
    assert_nothing_lost(world)


def test_an_order_made_before_its_site_had_a_tax_has_none(world: World) -> None:
    order = make_order(world, lines=[{"title": "Tea", "unit_minor": 300}], total_minor=300)
    tax(world, 70_000)
    assert (order["lines"][0]["tax_ppm"], order["taxes"]) == (None, [])
    pay_order(world, order)
    book(world)
    (row,) = rows_of(world, f"./sales/accounting.csv?month={MONTH}")
    assert (row["tax_percent"], row["gross"], row["tax"], row["net"]) == (
        "0", "3.00", "0.00", "3.00",
    )  # fmt: skip


def test_an_order_of_one_rate_has_it_in_the_book(world: World) -> None:
    tax(world, 70_000)
    lines = [
        {"title": "Tea", "quantity": 3, "unit_minor": 119, "tax_ppm": 190_000},
        {"title": "Discount", "unit_minor": -119, "tax_ppm": 190_000},
    ]
    pay_order(world, make_order(world, lines=lines, total_minor=238))
    (sale,) = book(world)
    assert (sale.fiat_minor, sale.tax_name, sale.tax_ppm) == (238, "MwSt.", 190_000)
    (row,) = rows_of(world, f"./sales/accounting.csv?month={MONTH}")
    assert (row["tax_percent"], row["gross"], row["tax"], row["net"]) == (
        "19", "2.38", "0.38", "2.00",
    )  # fmt: skip


def test_several_that_write_the_book_at_once_write_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "BATCH_IDS", 2)
    listen(world, "https://shop.example/", "sale.created")
    items = [sell_at(world, 1 + number) for number in range(12)]
    fill_wallet(world)
    for item_id in items:
        buy_from_balance(world, item_id)

    def write(_: int) -> None:
        with world.app.app_context():
            while True:
                with suppress(StorageBusy):
                    if not job.sales_book(world.deps, db.session()):
                        return

    at_once(3, write)
    assert len(book(world)) == len(items)
    truth_msat = ledger_net_msat(world, world.merchant_id)
    kept = select(func.sum(TakingQuarter.net_msat), func.sum(TakingQuarter.sales))
    days = select(func.sum(ItemDay.revenue_msat), func.sum(ItemDay.paid))
    for sums in (kept, days):
        assert tuple(map(int, world.session.execute(sums).one())) == (truth_msat, len(items))
    told = world.session.scalar(select(func.count()).select_from(WebhookEvent))
    world.session.rollback()
    assert told == len(items)
    assert_nothing_lost(world)


def test_a_sale_that_becomes_visible_late_is_in_the_book(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id is lower than that of a sale that was committed before it (PostgreSQL)."""
    monkeypatch.setattr(balances, "WRITER_PATIENCE_S", 0.1)
    with databases.fresh("postgresql") as url, opened_world(tmp_path, url) as world:
        fill_wallet(world)
        fill_wallet(world, wallet_id="wa_slow")
        wanted = UnlockOrder("wa_slow", world.article_id, None)
        offer = read_offer(world.deps, world.session, world.article_id)
        spend = to_spend(world.deps, offer, wanted)
        world.session.rollback()
        with Session(db.engine) as slow, write_transaction(slow):
            spend_within(slow, spend)
            buy_from_balance(world)
            with pytest.raises(StorageBusy):
                write_book(world)
            world.session.rollback()
        assert [row.item_id for row in book(world)] == [world.article_id, world.file_id]
        assert_nothing_lost(world)
