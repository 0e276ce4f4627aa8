"""The job that reads the ledger into the book of sales."""

import pytest
from sqlalchemy import select, text, update

from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.sales_book import RateHistory, Sale, SaleCursor, SiteTax
from bitcache_server.models.session import write_transaction
from bitcache_server.rates.fixed import FixedRates
from bitcache_server.services import sales_book as job
from bitcache_server.services.merchants import get_site
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.refund import refund_by_merchant, undo_purchase
from tests.support.purchases import (
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    WALLET,
    add_author,
    buy_from_balance,
    fill_wallet,
    holder_of,
    sell_shared,
)
from tests.support.sales_book import book, book_net_msat, ledger_net_msat, write_book
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, sell_at
from tests.support.world import START, World


def test_a_sale_from_a_balance(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    (sale,) = book(world)
    assert (sale.kind, sale.state, sale.rail, sale.owner_kind) == (
        "sale", "paid", "balance", "wallet",
    )  # fmt: skip
    assert (sale.price_msat, sale.commission_msat) == (FILE_MSAT, FILE_COMMISSION_MSAT)
    assert (sale.net_msat, sale.shares_msat) == (FILE_MSAT - FILE_COMMISSION_MSAT, 0)
    assert (sale.item_id, sale.site_id, sale.title) == (world.file_id, world.site_id, "A song")
    assert (sale.holder, sale.invoice_id) == (holder_of(world), "")
    # 7,000 sat at 1,000 dollars.
    assert (sale.fiat_currency, sale.fiat_minor) == ("USD", 7)
    assert (sale.rate_price_per_btc, sale.rate_as_of) == ("1000", START)
    assert_nothing_lost(world)


def test_no_row_names_a_wallet(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    write_book(world)
    rows = world.session.execute(text("SELECT * FROM sales")).all()
    world.session.rollback()
    assert rows
    assert WALLET not in str(rows)


def test_a_sale_by_invoice_has_the_rate_of_its_invoice(world: World) -> None:
    purchase = world.buy()
    world.clock.pass_time(60)
    world.deps.rate_sources[0].prices["USD"] = 2000  # type: ignore[attr-defined]
    refresh_rates(world.deps, world.session)
    world.pay(purchase)
    (sale,) = book(world)
    assert (sale.rail, sale.invoice_id, sale.holder) == ("fake", purchase.id, purchase.id)
    assert (sale.owner_kind, sale.direct) == ("invoice", False)
    assert (sale.price_msat, sale.fiat_minor, sale.rate_price_per_btc) == (PRICE_MSAT, 5, "1000")
    assert_nothing_lost(world)


def test_running_again_changes_nothing(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.pay(world.buy())
    before = [row.id for row in book(world)]
    assert write_book(world) == 0
    with write_transaction(world.session):
        world.session.execute(update(SaleCursor).values(through_id=0))
    assert [row.id for row in book(world)] == before
    assert_nothing_lost(world)


def test_a_first_run_reads_all_history_in_small_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a step ends in the middle of a sale."""
    monkeypatch.setattr(job, "BATCH_IDS", 1)
    fill_wallet(world, 1_000_000, 20_000_000)
    buy_from_balance(world)
    undo_at = world.clock()
    with write_transaction(world.session):
        undo_purchase(world.deps, world.session, WALLET, world.file_id)
    world.pay(world.buy())
    rows = book(world)
    assert [(row.state, row.rail) for row in rows] == [("refunded", "balance"), ("paid", "fake")]
    assert (rows[0].refunded_at, rows[0].refund_by) == (undo_at, "undo")
    assert rows[0].refund_msat == FILE_MSAT
    assert book_net_msat(world, world.merchant_id) == ledger_net_msat(world, world.merchant_id)
    assert_nothing_lost(world)


def test_shares_are_rows_of_those_who_get_them(world: World) -> None:
    bob = add_author(world)
    with write_transaction(world.session):
        world.session.get_one(Merchant, bob).currency = "JPY"
    item_id = sell_shared(world, 1_000, {bob: 250_000})
    fill_wallet(world)
    buy_from_balance(world, item_id)
    (mine,), (his,) = book(world), book(world, bob)
    assert (mine.price_msat, mine.commission_msat, mine.shares_msat, mine.net_msat) == (
        1_000_000, 10_000, 247_500, 742_500,
    )  # fmt: skip
    assert (his.kind, his.price_msat, his.net_msat, his.commission_msat) == (
        "share", 247_500, 247_500, 0,
    )  # fmt: skip
    assert mine.id == his.id
    # One reader has another name for each merchant, and nobody knows yet what yen are worth.
    assert mine.holder != his.holder
    assert (his.fiat_currency, his.fiat_minor) == ("JPY", None)
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        refund_by_merchant(world.deps, world.session, site, mine.holder, item_id)
    assert [row.state for row in (*book(world), *book(world, bob))] == ["refunded"] * 2
    for merchant_id in (world.merchant_id, bob):
        assert book_net_msat(world, merchant_id) == ledger_net_msat(world, merchant_id) == 0
    assert_nothing_lost(world)


def test_a_price_that_the_commission_eats_is_a_sale_all_the_same(world: World) -> None:
    with write_transaction(world.session):
        merchant = world.session.get_one(Merchant, world.merchant_id)
        merchant.commission_ppm, merchant.commission_min_msat = 0, 2_000_000
    fill_wallet(world)
    buy_from_balance(world, sell_at(world, 1_000))
    (sale,) = book(world)
    assert (sale.price_msat, sale.commission_msat, sale.net_msat) == (1_000_000, 1_000_000, 0)
    assert_nothing_lost(world)


def test_a_payment_that_vanishes_and_comes_again(world: World) -> None:
    purchase = world.buy(sell_at(world, 20_000))
    world.pay(purchase)
    world.mine()
    assert [row.state for row in book(world)] == ["paid"]
    world.clock.pass_time(600)
    world.rail.reorg()
    world.watch()
    gone = book(world)
    assert [(row.state, row.reversed_at) for row in gone] == [("reversed", world.clock())]
    world.clock.pass_time(600)
    world.mine()
    again = book(world)
    assert [row.state for row in again] == ["reversed", "paid"]
    assert again[0].id != again[1].id
    assert book_net_msat(world, world.merchant_id) == ledger_net_msat(world, world.merchant_id)
    assert_nothing_lost(world)


def test_the_price_in_fiat_counts_unless_it_was_changed(world: World) -> None:
    fill_wallet(world, 200_000_000)
    item_id = sell_at(world, "0.99", "USD")
    other_id = sell_at(world, "0.50", "USD")
    buy_from_balance(world, item_id)
    buy_from_balance(world, other_id)
    with write_transaction(world.session):
        world.session.get_one(Item, other_id).price_amount = 75
    values = {row.item_id: row.fiat_minor for row in book(world)}
    assert values == {item_id: 99, other_id: 50}


def test_a_tax_holds_from_its_day_on(world: World) -> None:
    fill_wallet(world, 50_000_000)
    buy_from_balance(world)
    world.clock.pass_time(100)
    with write_transaction(world.session):
        for since, ppm in ((world.clock(), 190_000), (world.clock() + 100, 70_000)):
            row = SiteTax(site_id=world.site_id, since=since, name="MwSt.", tax_ppm=ppm)
            world.session.add(row)
    world.pay(world.buy())
    world.clock.pass_time(100)
    world.pay(world.buy())
    assert [(row.tax_name, row.tax_ppm) for row in book(world)] == [
        ("", 0), ("MwSt.", 190_000), ("MwSt.", 70_000),
    ]  # fmt: skip


def test_an_old_rate_says_nothing_about_a_value(world: World) -> None:
    world.clock.pass_time(86_401)
    fill_wallet(world)
    buy_from_balance(world)
    (sale,) = book(world)
    assert (sale.fiat_currency, sale.fiat_minor, sale.rate_as_of) == ("USD", None, None)


def test_rates_are_kept_once_a_minute(world: World) -> None:
    source = world.deps.rate_sources[0]
    assert isinstance(source, FixedRates)
    for seconds, price in ((59, 1001), (1, 1002), (30, 1003), (30, 1004)):
        world.clock.pass_time(seconds)
        source.prices["USD"] = price  # type: ignore[index]
        refresh_rates(world.deps, world.session)
    rows = world.session.scalars(select(RateHistory).order_by(RateHistory.as_of)).all()
    assert [(row.as_of - START, row.price_per_btc) for row in rows] == [
        (0, "1000"), (60, "1002"), (120, "1004"),
    ]  # fmt: skip
    assert {row.sources for row in rows} == {"fixed"}


#: What is read from the book agrees with it no more.
SUMS = {"takings_differ", "item_day_differs"}


@pytest.mark.parametrize(
    ("found", "damage"),
    [
        ({"sale_not_in_book", *SUMS}, "DELETE FROM sales"),
        (
            {"book_differs", *SUMS},
            "UPDATE sales SET net_msat = net_msat + 1, price_msat = price_msat + 1",
        ),
        (
            {"book_commission_differs"},
            "UPDATE sales SET commission_msat = commission_msat + 1, price_msat = price_msat + 1",
        ),
        (
            {"book_state_differs", *SUMS},
            "UPDATE sales SET state = 'reversed', reversed_at = 1",
        ),
        ({"takings_differ"}, "DELETE FROM taking_quarters"),
        ({"takings_differ"}, "UPDATE taking_quarters SET quarter = quarter + 1"),
        ({"takings_differ"}, "UPDATE taking_quarters SET net_msat = net_msat - 1"),
        ({"takings_differ"}, "UPDATE taking_quarters SET sales = sales + 1"),
        ({"takings_differ"}, "UPDATE taking_quarters SET currency = 'EUR'"),
        ({"takings_differ"}, "UPDATE taking_quarters SET milli_minor = milli_minor + 5"),
        ({"item_day_differs"}, "DELETE FROM item_days"),
        ({"item_day_differs"}, "UPDATE item_days SET day = day - 1"),
        ({"item_day_differs"}, "UPDATE item_days SET paid = paid + 1"),
        ({"item_day_differs"}, "UPDATE item_days SET clicked = 0"),
        ({"item_day_differs"}, "UPDATE item_days SET revenue_msat = revenue_msat - 1"),
    ],
)
def test_the_audit_finds_a_book_that_disagrees(world: World, found: set[str], damage: str) -> None:
    from bitcache_server.ledger.audit import audit

    fill_wallet(world)
    buy_from_balance(world)
    write_book(world)
    assert audit(world.session).findings == []
    with write_transaction(world.session):
        world.session.execute(text(damage))
    assert {finding.code for finding in audit(world.session).findings} == found


def test_the_audit_finds_a_refund_that_the_book_missed(world: World) -> None:
    from bitcache_server.ledger.audit import audit

    fill_wallet(world)
    buy_from_balance(world)
    with write_transaction(world.session):
        undo_purchase(world.deps, world.session, WALLET, world.file_id)
    write_book(world)
    with write_transaction(world.session):
        world.session.execute(update(Sale).values(state="paid", refunded_at=None))
    codes = {finding.code for finding in audit(world.session).findings}
    assert codes == {"book_state_differs", *SUMS}
