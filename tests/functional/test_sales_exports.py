"""Sales to take along: tables, JSON lines, the table for accounting."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest

from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.sales_book import SiteTax
from bitcache_server.models.session import write_transaction
from bitcache_server.services import sales_export, sales_list
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import get_site
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.refund import refund_by_merchant
from tests.support.dashboard import sign_in
from tests.support.purchases import buy_from_balance, fill_wallet, holder_of
from tests.support.sales_book import book
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.world import START, World

MONTH = "2027-01"


def rows_of(world: World, path: str) -> list[dict[str, str]]:
    """Return the rows of a table as its readers get them."""
    answer = sign_in(world, Role.ACCOUNTANT).get(path)
    assert answer.status_code == 200
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.data.startswith(b"\xef\xbb\xbf")
    text = answer.data.decode("utf-8-sig")
    assert text.count("\r\n") == text.count("\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def tax(world: World, ppm: int) -> None:
    with write_transaction(world.session):
        row = SiteTax(site_id=world.site_id, since=START, name="MwSt.", tax_ppm=ppm)
        world.session.add(row)


def price_in(world: World, currency: str, rate: str, price: str) -> str:
    """Sell something in a currency that now has a rate, and return the item's id."""
    world.deps.rate_sources[0].prices[currency] = Decimal(rate)  # type: ignore[attr-defined]
    item_id = sell_at(world, price, currency)
    refresh_rates(world.deps, world.session)
    return item_id


def test_a_table_of_sales(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.pay(world.buy())
    book(world)
    by_title = {row["title"]: row for row in rows_of(world, "./sales.csv")}
    song = by_title["A song"]
    assert (song["price_msat"], song["price_sat"]) == ("7000000", "7000.000")
    assert (song["commission_sat"], song["net_msat"]) == ("70.000", "6930000")
    assert (song["currency"], song["value"], song["rail"]) == ("USD", "0.07", "balance")
    assert song["time_utc"] == "2027-01-15T08:00:00Z"
    assert [row["title"] for row in rows_of(world, "./sales.csv?q=song")] == ["A song"]
    assert_nothing_lost(world)


def test_times_are_told_in_the_merchants_zone(sqlite_world: World) -> None:
    world = sqlite_world
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).time_zone = "Asia/Kathmandu"
    fill_wallet(world)
    buy_from_balance(world)
    book(world)
    (row,) = rows_of(world, "./sales.csv")
    assert row["time_local"] == "2027-01-15T13:45:00+05:45"
    (booked,) = rows_of(world, f"./sales/accounting.csv?month={MONTH}")
    assert (booked["date"], booked["time"]) == ("2027-01-15", "13:45:00+05:45")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_title_becomes_a_formula(sqlite_world: World, begin: str) -> None:
    world = sqlite_world
    title = f'{begin}HYPERLINK("https://evil.example","x")'
    with write_transaction(world.session):
        world.session.get_one(Item, world.file_id).title = title
    tax(world, 190_000)
    fill_wallet(world)
    buy_from_balance(world)
    book(world)
    for path in ("./sales.csv", f"./sales/accounting.csv?month={MONTH}"):
        (row,) = rows_of(world, path)
        assert row["title"] == f"'{title}"


def test_a_tax_by_a_dangerous_name_is_text(sqlite_world: World) -> None:
    world = sqlite_world
    with write_transaction(world.session):
        world.session.add(SiteTax(site_id=world.site_id, since=1, name="=cmd", tax_ppm=1))
    fill_wallet(world)
    buy_from_balance(world)
    book(world)
    (row,) = rows_of(world, "./sales.csv")
    assert (row["tax_name"], row["tax_percent"]) == ("'=cmd", "0.0001")


@pytest.mark.parametrize(
    ("currency", "rate", "price", "gross", "tax_part", "net"),
    [
        ("JPY", "150000", "119", "119", "19", "100"),
        ("KWD", "300", "1.190", "1.190", "0.190", "1.000"),
        ("EUR", "1000", "11.90", "11.90", "1.90", "10.00"),
        ("JPY", "150000", "1", "1", "0", "1"),
    ],
)
def test_currencies_have_their_own_decimals(
    sqlite_world: World, currency: str, rate: str, price: str, gross: str, tax_part: str, net: str
) -> None:
    world = sqlite_world
    tax(world, 190_000)
    fill_wallet(world, 2_000_000_000_000)
    buy_from_balance(world, price_in(world, currency, rate, price))
    book(world)
    (row,) = rows_of(world, "./sales.csv")
    assert (row["currency"], row["value"]) == (currency, gross)
    (row,) = rows_of(world, f"./sales/accounting.csv?month={MONTH}")
    assert (row["gross"], row["tax"], row["net"], row["tax_percent"]) == (
        gross, tax_part, net, "19",
    )  # fmt: skip
    assert (row["rate_per_btc"], row["rate_source"]) == (rate, "fixed")
    page = sign_in(world).get("./sales").text
    assert f"{gross} {currency}" in page


def test_a_refund_is_booked_against_the_sale(world: World) -> None:
    """At the rate of the sale, in the month of the refund: both add up to nothing."""
    tax(world, 70_000)
    fill_wallet(world)
    buy_from_balance(world)
    world.clock.pass_time(30 * 86_400)
    world.deps.rate_sources[0].prices["USD"] = Decimal(5000)  # type: ignore[attr-defined]
    refresh_rates(world.deps, world.session)
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        refund_by_merchant(world.deps, world.session, site, holder_of(world), world.file_id)
    book(world)
    (sold,) = rows_of(world, f"./sales/accounting.csv?month={MONTH}")
    (back,) = rows_of(world, "./sales/accounting.csv?month=2027-02")
    assert (sold["kind"], back["kind"], back["corrects"]) == ("sale", "refund", sold["document"])
    assert back["document"] == f"{sold['document']}-R"
    amounts = ("net", "tax", "gross", "commission", "price_msat", "commission_msat",
               "shares_msat", "merchant_msat")  # fmt: skip
    for name in amounts:
        assert Decimal(sold[name]) + Decimal(back[name]) == 0, name
    assert (sold["gross"], sold["rate_per_btc"]) == ("0.07", "1000")
    assert back["rate_per_btc"] == "1000"
    assert back["date"] == "2027-02-14"
    assert_nothing_lost(world)


def test_json_lines_are_the_api_s_documents(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.pay(world.buy())
    book(world)
    text = sign_in(world).get("./sales.jsonl").text
    documents: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert {one["title"] for one in documents} == {"A song", "On engines"}
    headers = {"Authorization": f"Bearer {world.secret}"}
    api = world.client.get("/v1/sales", headers=headers).get_json()["sales"]
    assert documents == api


def test_long_tables_are_read_piece_by_piece(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a piece ends among sales of the same second."""
    world = sqlite_world
    monkeypatch.setattr(sales_list, "_PAGE", 3)
    monkeypatch.setattr(sales_export, "_PAGE", 3)
    fill_wallet(world, 100_000_000)
    for number in range(11):
        world.clock.pass_time(number % 4 // 3)
        buy_from_balance(world, sell_at(world, number + 1))
    ids = {row.id for row in book(world)}
    assert len(ids) == 11
    for path in ("./sales.csv", f"./sales/accounting.csv?month={MONTH}"):
        rows = rows_of(world, path)
        assert len(rows) == 11
        assert {row.get("sale") or row["document"] for row in rows} == ids
    times = [row["time"] for row in rows_of(world, f"./sales/accounting.csv?month={MONTH}")]
    assert times == sorted(times)


def test_months_and_filters_that_are_none(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    for month in ("", "2027", "2027-13", "0001-01", "x"):
        for name in ("accounting.csv", "statement.pdf"):
            assert person.get(f"./sales/{name}?month={month}").status_code == 422
    assert person.get("./sales.csv?from=x").status_code == 422
