"""Readers, shops, miners and thieves together: all books tell the same, to the msat.

The ledger is the truth; the book of sales, the sums kept beside it, the monthly statements,
the table for accounting and what webhooks are told are compared with it.
"""

import csv
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select, update

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.orders import Order
from bitcache_server.models.sales_book import Sale, SaleCursor
from bitcache_server.models.session import write_transaction
from bitcache_server.models.visits import ItemDay, TakingQuarter
from bitcache_server.models.webhooks import WebhookEvent
from bitcache_server.rails.base import Observation
from bitcache_server.services import sales_book as job
from bitcache_server.services.handles import set_handle
from bitcache_server.services.housekeeping import expire_invoices
from bitcache_server.services.merchants import get_site
from bitcache_server.services.monthly import monthly_statement, months_of
from bitcache_server.services.orders import expire_orders
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.refund import refund_by_merchant, refund_by_reader, undo_purchase
from bitcache_server.services.sale_sums import QUARTER_S
from bitcache_server.services.sales_export import accounting_csv
from tests.support.databases import ENGINES, Databases
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.orders import assert_sold_once, cancel, make_order
from tests.support.purchases import (
    WALLET,
    add_author,
    allow,
    buy_from_balance,
    fill_wallet,
    sell_shared,
)
from tests.support.sales_book import book_net_msat, ledger_net_msat, write_book
from tests.support.shops import held, sell_at
from tests.support.webhooks import listen
from tests.support.world import Purchase

ZONES = ("Europe/Berlin", "Asia/Kathmandu")
RATES = {"USD": "40000.07", "JPY": "6100003", "KWD": "12345.678"}
#: Of lines whose sum does not divide; KWD has three decimals and JPY none.
LINES: dict[str, list[tuple[str, int, int, int | None]]] = {
    "USD": [("Tea", 3, 333, 190_000), ("Less", 1, -99, None)],
    "JPY": [("Cha", 7, 111, 80_000), ("Cha", 1, 1, 100_000)],
    "KWD": [("Shai", 1, 1_003, None)],
    "SAT": [("Sats", 3, 7_001, 70_000), ("More", 1, 5, 0)],
}
PATIENCE: dict[str, Any] = {
    "rail_stale_after_s": 10**9,
    "rate_max_age_s": 10**9,
    "fixed_rates": RATES,
    "undos_per_day": 10_000,
}
STEPS, HISTORIES = 110, 3
RICH_MSAT = 10**12


class Market:
    """One server with everything that can be sold on it, and people by whom chance decides."""

    def __init__(self, world: LightningWorld, seed: int) -> None:
        self.world, self.chance = world, random.Random(seed)
        self.purchases: list[Purchase] = []
        self.payments: list[str] = []
        self.orders: list[dict[str, Any]] = []
        self.stock()

    def stock(self) -> None:
        world = self.world
        self.author = add_author(world)
        with write_transaction(world.session):
            set_handle(world.session, world.merchant_id, "ada")
            for merchant_id, zone, currency in zip(
                (world.merchant_id, self.author), ZONES, ("KWD", "JPY"), strict=True
            ):
                merchant = world.session.get_one(Merchant, merchant_id)
                merchant.time_zone, merchant.currency = zone, currency
                merchant.refund_window_s, merchant.refunds_per_reader = 10**8, 10**4
        self.items = [
            sell_at(world, 4_001),
            sell_at(world, "7.01", "USD"),
            sell_at(world, "2.123", "KWD"),
            sell_shared(world, 3_003, {self.author: 333_333}),
        ]
        refresh_rates(world.deps, world.session)
        fill_wallet(world, RICH_MSAT, 5_000_000)
        allow(world)
        listen(world, "https://shop.example/")
        listen(world, "https://author.example/", merchant_id=self.author)
        world.rail.confirm(3)
        world.watch()

    def item(self) -> str:
        return self.chance.choice(self.items)

    def click(self) -> None:
        with suppress(BitcacheError):
            buy_from_balance(self.world, self.item())

    def reader_gives_back(self) -> None:
        world, by = self.world, self.chance.choice([undo_purchase, refund_by_reader])
        with suppress(BitcacheError), write_transaction(world.session):
            by(world.deps, world.session, WALLET, self.item())

    def merchant_gives_back(self) -> None:
        world = self.world
        write_book(world)
        query = select(Sale.holder, Sale.item_id, Sale.group_id)
        query = query.where(Sale.kind == "sale", Sale.merchant_id == world.merchant_id)
        rows = world.session.execute(query.order_by(Sale.transfer_id)).all()
        world.session.rollback()
        if not rows:
            return
        holder, item_id, group_id = self.chance.choice(rows)
        with suppress(BitcacheError), write_transaction(world.session):
            site = get_site(world.session, world.site_id)
            refund_by_merchant(world.deps, world.session, site, holder, item_id, group_id)

    def ask(self) -> None:
        self.purchases.append(self.world.buy(self.item(), "fake"))

    def pay(self) -> None:
        """One of the newest: they are not over yet."""
        if not self.purchases:
            return
        purchase = self.chance.choice(self.purchases[-6:])
        if purchase.invoice["requests"][0]["rail"] != "fake":
            return
        percent = self.chance.choice([50, 100, 100, 100, 170])
        amount_msat = purchase.invoice["requests"][0]["amount_sat"] * 1000 * percent // 100
        reason = self.chance.choice(["", "", "it may be replaced"])
        self.payments.append(self.world.pay(purchase, amount_msat, reason))

    def pay_over_lightning(self) -> None:
        purchase = self.world.buy(self.item(), "lightning")
        percent = self.chance.choice([100, 100, 130])
        self.world.pay_lightning(purchase, purchase.invoice["amount_msat"] * percent // 100)
        self.purchases.append(purchase)

    def send(self) -> None:
        """To the merchant's Lightning address, some of it more than was asked for."""
        amount_sat = self.chance.randint(1, 9_999)
        client = self.world.app.test_client(use_cookies=False)
        query = {"amount": amount_sat * 1_000}
        found = client.get("/lnurl/pay/ada/callback", query_string=query).get_json()
        assert "verify" in found, found
        payment_hash = found["verify"].rpartition("/")[2]
        self.world.lightning.pay(payment_hash, amount_sat * 1_000 + amount_sat % 7)
        self.world.settle()

    def order(self) -> None:
        """With two customers who both mean to pay it."""
        currency = self.chance.choice(sorted(LINES))
        lines = [
            {"title": title, "quantity": quantity, "unit_minor": minor, "tax_ppm": ppm}
            for title, quantity, minor, ppm in LINES[currency]
        ]
        total_minor = sum(quantity * minor for _, quantity, minor, _ in LINES[currency])
        made = make_order(self.world, currency=currency, lines=lines, total_minor=total_minor)
        self.orders.append(made)
        refresh_rates(self.world.deps, self.world.session)
        self.purchases += [self.world.buy(made["item"], "fake") for _ in range(2)]

    def end_order(self) -> None:
        if not self.orders:
            return
        order = self.chance.choice(self.orders[-2:])
        if self.chance.random() < 0.3:
            assert cancel(self.world, str(order["id"])).status_code in (200, 409)
            return
        with suppress(BitcacheError):
            buy_from_balance(self.world, str(order["item"]))

    def mine(self) -> None:
        self.world.mine(self.chance.randint(1, 3))

    def reorganise(self) -> None:
        """Blocks fall away, and a thief may spend again what was in them."""
        self.world.rail.reorg(self.chance.randint(1, 3))
        if self.payments and self.chance.random() < 0.5:
            self.steal(self.chance.choice(self.payments[-3:]))
        self.world.watch()

    def steal(self, reference: str) -> None:
        asked = Observation("fake", reference, "", 1, None, True, "", 0, raw="")
        if self.world.rail.lookup(asked).outcome is Outcome.PENDING:
            self.world.rail.double_spend(reference)
            self.payments.remove(reference)

    def redeem(self) -> None:
        if not self.purchases:
            return
        purchase = self.chance.choice(self.purchases)
        body = {"verifier": purchase.verifier}
        answer = self.world.post(f"/v1/invoices/{purchase.id}/redeem", body)
        codes = {"no_credit", "order_closed"}
        assert answer.status_code == 200 or answer.get_json()["code"] in codes

    def wait(self) -> None:
        self.world.clock.pass_time(self.chance.choice([1, 61, 61, 61, 61, 901, 10 * 86_400]))
        expire_invoices(self.world.deps, self.world.session)
        expire_orders(self.world.deps, self.world.session)

    def the_market_moves(self) -> None:
        percent = self.chance.choice([61, 97, 250])
        for currency, price in RATES.items():
            moved = Decimal(price) * percent / 100
            self.world.deps.rate_sources[0].prices[currency] = moved  # type: ignore[attr-defined]
        refresh_rates(self.world.deps, self.world.session)

    def reprice(self) -> None:
        item_id, price = self.item(), self.chance.randint(1, 9)
        with write_transaction(self.world.session):
            item = self.world.session.get_one(Item, item_id)
            in_sats = item.price_currency != "SAT"
            item.price_currency = "SAT" if in_sats else "USD"
            item.price_amount = price * 1_001 if in_sats else price * 151

    def write_book(self) -> None:
        with patch.object(job, "BATCH_IDS", self.chance.randint(1, 5)):
            write_book(self.world)

    def read_everything_again(self) -> None:
        with write_transaction(self.world.session):
            self.world.session.execute(update(SaleCursor).values(through_id=0))

    def live(self) -> None:
        """Let things happen, the frequent ones more often."""
        often: list[Callable[[], None]] = [
            self.click, self.ask, self.pay, self.pay, self.order, self.end_order, self.mine,
            self.wait, self.write_book,
        ]  # fmt: skip
        seldom: list[Callable[[], None]] = [
            self.reader_gives_back, self.merchant_gives_back, self.pay_over_lightning, self.send,
            self.reorganise, self.reorganise, self.redeem, self.the_market_moves, self.reprice,
            self.read_everything_again,
        ]  # fmt: skip
        for deed in self.chance.choices([*often, *often, *seldom], k=STEPS):
            deed()
        self.vanish_for_certain()

    def vanish_for_certain(self) -> None:
        """A sale is given back and another is stolen, whatever chance has done before."""
        undone, stolen = (sell_at(self.world, 4_001) for _ in range(2))
        buy_from_balance(self.world, undone)
        with write_transaction(self.world.session):
            refund_by_reader(self.world.deps, self.world.session, WALLET, undone)
        reference = self.world.pay(self.world.buy(stolen, "fake"))
        self.payments.append(reference)
        self.world.mine()
        self.write_book()
        self.world.rail.reorg()
        self.steal(reference)
        self.world.watch()

    def compare(self) -> None:
        """Compare all books with the ledger, to the msat."""
        write_book(self.world)
        assert_sold_once(self.world)
        for merchant_id in (self.world.merchant_id, self.author):
            self._compare(merchant_id)
            self._compare_sums(merchant_id)
            self._compare_events(merchant_id)
        self._compare_orders()

    def states_seen(self) -> set[str]:
        return {row.state for row in self._sales(self.world.merchant_id)}

    def _sales(self, merchant_id: str) -> list[Sale]:
        rows = list(self.world.session.scalars(select(Sale).where(Sale.merchant_id == merchant_id)))
        self.world.session.expunge_all()
        self.world.session.rollback()
        return rows

    def _compare(self, merchant_id: str) -> None:
        """Compare the ledger with the book, all statements and all tables for accounting."""
        world = self.world
        truth_msat = ledger_net_msat(world, merchant_id)
        assert book_net_msat(world, merchant_id) == truth_msat
        merchant = world.session.get_one(Merchant, merchant_id)
        months = list(months_of(merchant, world.clock()))[::-1]
        found = []
        for month in months:
            merchant = world.session.get_one(Merchant, merchant_id)
            found.append(monthly_statement(world.session, merchant, month, world.clock()))
        assert found[0].opening_msat == 0
        assert all(one.closing_msat == two.opening_msat for one, two in pairwise(found))
        assert found[-1].closing_msat == held(world, chart.merchant(merchant_id)) == truth_msat
        rows = self._sales(merchant_id)
        worth: Counter[str] = Counter()
        for one in found:
            worth.update(one.fiat_minor)
            assert one.turnover.other_msat == one.turnover.own_wallet_msat == 0
        kept = [row for row in rows if row.state == "paid" and row.fiat_minor is not None]
        for currency in {row.fiat_currency for row in rows}:
            own = [row for row in kept if row.kind != "share" and row.fiat_currency == currency]
            assert worth[currency] == sum(row.fiat_minor or 0 for row in own), currency
            assert currency != "SAT"
        text = "".join(
            line
            for one in found
            for line in accounting_csv(world.session, merchant_id, "Europe/Berlin", one.span)
        ).replace("\ufeff", "")
        table = [row for row in csv.DictReader(text.splitlines()) if row["date"] != "date"]
        assert sum(int(row["merchant_msat"]) for row in table) == truth_msat
        by_document: Counter[str] = Counter()
        for row in table:
            by_document[row["document"]] += int(row["price_msat"])
        prices = {row.id: row.price_msat for row in rows}
        assert {name: msat for name, msat in by_document.items() if name in prices} == prices

    def _compare_sums(self, merchant_id: str) -> None:
        """Work out the sums that are kept again."""
        quarters: Counter[tuple[int, str]] = Counter()
        items: Counter[tuple[str, int]] = Counter()
        for row in self._sales(merchant_id):
            currency = row.fiat_currency if row.fiat_minor is not None else ""
            quarters[row.created_at // QUARTER_S, currency] += row.net_msat
            gone_at = row.refunded_at or row.reversed_at
            if gone_at is not None:
                quarters[gone_at // QUARTER_S, currency] -= row.net_msat
            elif row.kind == "sale":
                items[row.item_id, row.created_at // 86_400] += row.net_msat
        session = self.world.session
        kept = {
            (row.quarter, row.currency): row
            for row in session.scalars(
                select(TakingQuarter).where(TakingQuarter.merchant_id == merchant_id)
            )
        }
        assert {key: row.net_msat for key, row in kept.items()} == dict(quarters)
        if not any(row.net_msat for row in kept.values()):
            assert sum(row.sales for row in kept.values()) == 0
        days = {
            (row.item_id, row.day): row.revenue_msat
            for row in session.scalars(select(ItemDay).where(ItemDay.item_id.in_(self.items)))
        }
        session.rollback()
        if merchant_id == self.world.merchant_id:
            own = {key: msat for key, msat in items.items() if key[0] in self.items}
            assert {key: msat for key, msat in days.items() if msat} == own

    def _compare_events(self, merchant_id: str) -> None:
        """Each sale is told of once, and once more when it is taken back."""
        query = select(WebhookEvent).where(WebhookEvent.merchant_id == merchant_id)
        told: Counter[tuple[str, str]] = Counter()
        for event in self.world.session.scalars(query):
            if event.type.startswith("sale."):
                told[event.type, json.loads(event.data)["id"]] += 1
        self.world.session.rollback()
        wanted: Counter[tuple[str, str]] = Counter()
        for row in self._sales(merchant_id):
            wanted["sale.created", row.id] += 1
            if row.state != "paid":
                wanted[f"sale.{row.state}", row.id] += 1
        assert told == wanted

    def _compare_orders(self) -> None:
        """A paid order is one sale in the book, and each sale of it was told as paid."""
        session = self.world.session
        sales = self._sales(self.world.merchant_id)
        query = select(WebhookEvent).where(WebhookEvent.type == "order.paid")
        told = Counter(json.loads(event.data)["order"] for event in session.scalars(query))
        for order in session.scalars(select(Order)).all():
            mine = [row for row in sales if row.item_id == order.item_id]
            assert told[order.id] == len(mine)
            standing = [row.group_id for row in mine if row.state == "paid"]
            assert standing == ([order.paid_group] if order.state == "paid" else [])
            for row in mine:
                assert row.fiat_currency == ("KWD" if order.currency == "SAT" else order.currency)
                if row.fiat_currency == order.currency and row.rail != "balance":
                    assert row.fiat_minor == order.total_minor
        session.rollback()


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_all_books_tell_the_same(
    databases: Databases, tmp_path: Path, engine_name: str, seed: int
) -> None:
    with (
        databases.fresh(engine_name) as url,
        opened_lightning_world(tmp_path, url, **PATIENCE) as world,
    ):
        market = Market(world, seed)
        market.live()
        market.compare()
        # A history in which nothing of this happened proves nothing.
        assert {"paid", "refunded", "reversed"} <= market.states_seen()
