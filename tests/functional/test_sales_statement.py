"""The monthly statement: it adds up with the ledger to the msat, in the merchant's months."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pypdfium2
import pytest

from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.services.local_days import Period
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import get_site
from bitcache_server.services.monthly import (
    MonthlyStatement,
    month_span,
    monthly_statement,
    months_of,
    parse_month,
)
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.refund import refund_by_merchant
from tests.support.dashboard import sign_in
from tests.support.purchases import (
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    add_author,
    buy_from_balance,
    fill_wallet,
    holder_of,
    pay_out,
    sell_shared,
)
from tests.support.sales_book import write_book
from tests.support.shops import assert_nothing_lost, held, opened_world, sell_at
from tests.support.world import World

BERLIN = ZoneInfo("Europe/Berlin")


def month(world: World, text: str, merchant_id: str = "") -> MonthlyStatement:
    """Return a month after the book was written up."""
    write_book(world)
    merchant = world.session.get_one(Merchant, merchant_id or world.merchant_id)
    return monthly_statement(world.session, merchant, parse_month(text), world.clock())


def go_to(world: World, at: int) -> None:
    """Set the clock, with rates and rails that are well then."""
    world.clock.now = at
    record_health(world.deps, world.session, world.rail)
    refresh_rates(world.deps, world.session)


def test_a_month_adds_up(world: World) -> None:
    bob = add_author(world)
    fill_wallet(world, 50_000_000)
    buy_from_balance(world)
    shared = sell_shared(world, 1_000, {bob: 250_000})
    buy_from_balance(world, shared)
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        refund_by_merchant(world.deps, world.session, site, holder_of(world), shared)
    world.pay(world.buy())
    # What no block has is not paid out.
    world.mine()
    pay_out(world)
    found = month(world, "2027-01")
    turnover = found.turnover
    assert (found.opening_msat, turnover.sales) == (0, 3)
    assert turnover.sales_msat == FILE_MSAT + 1_000_000 + 5_000_000
    assert turnover.commission_msat == -(FILE_COMMISSION_MSAT + 10_000 + 50_000)
    assert (turnover.shares_out_msat, turnover.refunded_msat) == (-247_500, -1_000_000)
    assert turnover.costs_back_msat == 257_500
    assert turnover.payouts_msat == -(FILE_MSAT - FILE_COMMISSION_MSAT + 4_950_000)
    assert found.closing_msat == held(world, chart.merchant(world.merchant_id)) == 0
    his = month(world, "2027-01", bob)
    assert (his.turnover.shares_in_msat, his.turnover.refunded_msat) == (247_500, -247_500)
    assert his.closing_msat == held(world, chart.merchant(bob)) == 0
    assert_nothing_lost(world)


def test_money_in_the_merchants_own_wallet(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        shop.pay(shop.buy())
        found = month(shop, "2027-01")
        assert found.turnover.own_wallet_msat == -5_000_000
        assert found.turnover.sales_msat == 5_000_000
        # What is left is the commission that the merchant owes.
        assert found.closing_msat == held(shop, chart.merchant(shop.merchant_id)) == -50_000
        assert_nothing_lost(shop)


def test_a_correction_counts_in_its_own_month(world: World) -> None:
    """The month of the sale is told as before; the reorganisation came after it was over."""
    go_to(world, int(datetime(2027, 1, 31, 23, 59, 30, tzinfo=UTC).timestamp()))
    purchase = world.buy(sell_at(world, 20_000))
    world.pay(purchase)
    world.mine()
    before = month(world, "2027-01")
    assert before.turnover.sales_msat == 20_000_000
    go_to(world, int(datetime(2027, 2, 1, 0, 0, 10, tzinfo=UTC).timestamp()))
    world.rail.reorg()
    world.watch()
    january, february = month(world, "2027-01"), month(world, "2027-02")
    assert january.is_over
    assert january.turnover == before.turnover
    assert january.closing_msat == before.closing_msat == february.opening_msat == 19_800_000
    assert february.turnover.sales == 0
    assert february.turnover.reversed_msat == -20_000_000
    assert february.turnover.costs_back_msat == 200_000
    assert february.closing_msat == held(world, chart.merchant(world.merchant_id)) == 0
    world.mine()
    again = month(world, "2027-02")
    assert (again.turnover.sales, again.closing_msat) == (1, 19_800_000)
    assert_nothing_lost(world)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_every_second_of_a_year_is_in_one_month(zone: str) -> None:
    spans = [month_span(zone, date(2027, number, 1)) for number in range(1, 13)]
    assert [span.end for span in spans[:-1]] == [span.begin for span in spans[1:]]
    assert spans[-1].end - spans[0].begin == 365 * 86_400


def test_a_month_with_a_day_of_23_and_one_with_a_day_of_25_hours() -> None:
    march, october = (month_span("Europe/Berlin", date(2027, n, 1)) for n in (3, 10))
    assert march.end - march.begin == 31 * 86_400 - 3_600
    assert october.end - october.begin == 31 * 86_400 + 3_600
    assert march == Period(
        int(datetime(2027, 3, 1, tzinfo=BERLIN).timestamp()),
        int(datetime(2027, 4, 1, tzinfo=BERLIN).timestamp()),
    )


def test_sales_around_the_end_of_daylight_saving_count_once(sqlite_world: World) -> None:
    """31 October 2027 has the hour from two to three twice in Berlin."""
    world = sqlite_world
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).time_zone = "Europe/Berlin"
    fill_wallet(world, 100_000_000)
    moments = [
        datetime(2027, 9, 30, 23, 59, 59, tzinfo=BERLIN),
        datetime(2027, 10, 1, tzinfo=BERLIN),
        datetime(2027, 10, 31, 2, 30, tzinfo=BERLIN, fold=0),
        datetime(2027, 10, 31, 2, 30, tzinfo=BERLIN, fold=1),
        datetime(2027, 10, 31, 23, 59, 59, tzinfo=BERLIN),
        datetime(2027, 11, 1, tzinfo=BERLIN),
    ]
    for moment in moments:
        go_to(world, int(moment.timestamp()))
        buy_from_balance(world, sell_at(world, 1))
    months = [month(world, f"2027-{number}") for number in ("09", "10", "11")]
    assert [one.turnover.sales for one in months] == [1, 4, 1]
    assert [one.opening_msat for one in months[1:]] == [one.closing_msat for one in months[:-1]]
    last = months[1].days[-1]
    assert (last.day, last.turnover.sales) == (date(2027, 10, 31), 3)
    assert months[-1].closing_msat == held(world, chart.merchant(world.merchant_id))


@pytest.mark.parametrize("language", ["en", "de", "fr", "ar"])
def test_the_pdf_says_what_the_ledger_says(sqlite_world: World, language: str) -> None:
    world = sqlite_world
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).name = "<b>Ada</b> & Söhne"
    fill_wallet(world)
    buy_from_balance(world)
    write_book(world)
    answer = sign_in(world, Role.ACCOUNTANT).get(
        f"./sales/statement.pdf?month=2027-01&lang={language}"
    )
    assert (answer.status_code, answer.content_type) == (200, "application/pdf")
    with pypdfium2.PdfDocument(answer.data) as document:
        text = document[0].get_textpage().get_text_range()
    figures = "".join(char for char in text if char.isdigit() or char in "-\n")
    for amount in ("7000000", "-70000", "6930000"):
        assert amount in figures
    assert "<b>Ada</b> & Söhne" in text


def test_the_months_that_can_be_chosen(sqlite_world: World) -> None:
    merchant = sqlite_world.session.get_one(Merchant, sqlite_world.merchant_id)
    later = sqlite_world.clock() + 60 * 86_400
    assert months_of(merchant, later) == [date(2027, 3, 1), date(2027, 2, 1), date(2027, 1, 1)]
