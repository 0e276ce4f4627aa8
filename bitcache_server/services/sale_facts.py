"""What is to be known about sales that the ledger does not say: items, rails, rates, taxes.

Read for many ledger groups at once, so that a long history is walked in a few queries.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby

from sqlalchemy import case, func, select, tuple_
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.fiat_value import fiat_value_minor
from bitcache_server.domain.money import CURRENCY_EXPONENTS, SAT
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.ledger import Grant
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.models.sales_book import RateHistory, SiteTax
from bitcache_server.services.order_lines import Line
from bitcache_server.services.order_taxes import gross_by_rate, lines_of

BALANCE_RAIL = "balance"
#: A rate that is older than this at the time of a sale says nothing about its value.
MAX_RATE_AGE_S = SECONDS_PER_DAY
DEFAULT_CURRENCY = "USD"
#: An item's price counts as the value of its sale when the rate of the time agrees this well:
#: parts per hundred. Beyond that the price was changed since.
_AGREES_PERCENT = 2

Group = tuple[str, str]
"""The owner and the ledger group of a sale."""


@dataclass(frozen=True)
class Value:
    """What something cost in a national currency; None where no rate is known."""

    currency: str
    minor: int | None
    rate_price_per_btc: str | None
    rate_as_of: int | None


@dataclass(frozen=True)
class Bought:
    """What a ledger group sold."""

    item_id: str
    site_id: str
    merchant_id: str
    """Who sells it; empty where nobody knows."""
    title: str
    price_currency: str
    price_amount: int
    invoice: Invoice | None


@dataclass
class SaleFacts:
    """Answers about the sales of one batch."""

    bought: Mapping[Group, Bought]
    rails: Mapping[str, str]
    """Invoice to the rail that brought most of its money."""
    currencies: Mapping[str, str]
    """Merchant to currency."""
    taxes: Mapping[str, Sequence[SiteTax]]
    """Site to its tax rates, oldest first."""
    lines: Mapping[str, Sequence[Line]]
    """What is sold for an order, to the order's lines."""
    rates: Mapping[str, Sequence[RateHistory]] = field(default_factory=dict)

    def tax(self, site_id: str, at: int) -> tuple[str, int]:
        """Return name and rate (ppm) of a site's tax at a time."""
        known = self.taxes.get(site_id, ())
        number = bisect_right([row.since for row in known], at)
        return (known[number - 1].name, known[number - 1].tax_ppm) if number else ("", 0)

    def tax_of(self, bought: Bought, at: int) -> tuple[str, int]:
        """Return the site's tax, or that of an order whose lines all have another."""
        name, site_ppm = self.tax(bought.site_id, at)
        rates = [*gross_by_rate(self.lines.get(bought.item_id, ()))]
        return name, rates[0] if len(rates) == 1 else site_ppm

    def rate(self, currency: str, at: int) -> RateHistory | None:
        """Return the rate in force: the newest that is not of later, unless it is too old."""
        known = self.rates.get(currency, ())
        number = bisect_right([row.as_of for row in known], at)
        if not number or at - known[number - 1].as_of > MAX_RATE_AGE_S:
            return None
        return known[number - 1]

    def value_of_price(self, bought: Bought | None, merchant_id: str, msat: int, at: int) -> Value:
        """Return what the buyer paid, in the currency of the item's price.

        An invoice says it by itself. For a balance it is the item's price, unless the rate
        of the time shows that another one held then.
        """
        invoice = bought.invoice if bought else None
        # The item's price may have been changed since, and its currency with it.
        if invoice and invoice.amount_msat == msat and invoice.price_currency != SAT:
            return Value(
                invoice.price_currency,
                invoice.price_amount,
                invoice.rate_price_per_btc,
                invoice.rate_as_of,
            )
        if bought is None or bought.price_currency in (SAT, ""):
            return self.value(self.currencies.get(merchant_id, DEFAULT_CURRENCY), msat, at)
        value = self.value(bought.price_currency, msat, at)
        price = bought.price_amount
        if value.minor is None or abs(value.minor - price) * 100 > max(
            100, price * _AGREES_PERCENT
        ):
            return value
        return Value(value.currency, price, value.rate_price_per_btc, value.rate_as_of)

    def value(self, currency: str, amount_msat: int, at: int) -> Value:
        """Return what msat were worth at a time, rounded half to even."""
        rate = self.rate(currency, at)
        if rate is None or currency not in CURRENCY_EXPONENTS:
            return Value(currency, None, None, None)
        minor = fiat_value_minor(amount_msat, Decimal(rate.price_per_btc), currency)
        return Value(currency, minor, rate.price_per_btc, rate.as_of)


def read_facts(
    session: Session, groups: Sequence[Group], merchants: Iterable[str], since: int, until: int
) -> SaleFacts:
    """Return what is known about the sales of these groups, made between two times."""
    bought = _bought(session, groups)
    merchant_ids = {*merchants, *(one.merchant_id for one in bought.values())}
    rows = session.execute(
        select(Merchant.id, Merchant.currency).where(Merchant.id.in_(merchant_ids))
    )
    currencies = dict(rows.all())
    facts = SaleFacts(
        bought,
        _rails(session, {owner_id for owner_id, _ in groups}),
        currencies,
        _taxes(session, {one.site_id for one in bought.values()}),
        lines_of(session, (one.item_id for one in bought.values())),
    )
    needed = {one.price_currency for one in bought.values()} - {SAT, ""}
    facts.rates = _rates(session, {DEFAULT_CURRENCY, *needed, *currencies.values()}, since, until)
    return facts


def _bought(session: Session, groups: Sequence[Group]) -> dict[Group, Bought]:
    owners = {owner_id for owner_id, _ in groups}
    ordered = select(Invoice).where(Invoice.id.in_(owners))
    ordered = ordered.execution_options(populate_existing=True)
    invoices = {row.id: row for row in session.scalars(ordered)}
    granted = select(Grant.owner_id, Grant.group_id, Grant.item_id, Grant.site_id).where(
        # The primary key begins with the owner; rows of two alone would not be found by it.
        Grant.owner_id.in_(owners),
        tuple_(Grant.owner_id, Grant.group_id).in_(groups),
    )
    grants = {(row.owner_id, row.group_id): row for row in session.execute(granted)}
    item_ids = {row.item_id for row in invoices.values()}
    items = _items(session, item_ids | {row.item_id for row in grants.values()})
    sites = _sellers(session, {row.site_id for row in grants.values()})
    found = {}
    for group in groups:
        invoice, grant = invoices.get(group[0]), grants.get(group)
        sold = invoice or grant
        if sold is None:
            continue
        title, currency, amount = items.get(sold.item_id, ("", "", 0))
        found[group] = Bought(
            item_id=sold.item_id,
            site_id=sold.site_id,
            merchant_id=invoice.merchant_id if invoice else sites.get(sold.site_id, ""),
            title=title if sold.item_id or invoice is None else invoice.comment or "",
            price_currency=currency,
            price_amount=amount,
            invoice=invoice,
        )
    return found


def _items(session: Session, ids: set[str]) -> dict[str, tuple[str, str, int]]:
    """Return title and price of items; what they lock is not read, it may be a book."""
    query = select(Item.id, Item.title, Item.price_currency, Item.price_amount)
    rows = session.execute(query.where(Item.id.in_(ids)))
    return {item_id: (title, currency, amount) for item_id, title, currency, amount in rows}


def _sellers(session: Session, site_ids: set[str]) -> dict[str, str]:
    rows = session.execute(select(Site.id, Site.merchant_id).where(Site.id.in_(site_ids)))
    return dict(rows.all())


def _rails(session: Session, owners: set[str]) -> dict[str, str]:
    """Return which rail brought most to each invoice; where nothing is left, which was asked."""
    asked = select(RequestRow.invoice_id, RequestRow.rail)
    asked = asked.where(RequestRow.invoice_id.in_(owners)).order_by(RequestRow.created_at)
    rails = dict(session.execute(asked).all())
    counted = func.sum(case((Payment.settled, Payment.amount_msat), else_=0))
    paid = (
        select(Payment.invoice_id, Payment.rail)
        .where(Payment.invoice_id.in_(owners))
        .group_by(Payment.invoice_id, Payment.rail)
        .order_by(counted, func.sum(Payment.amount_msat))
    )
    return rails | dict(session.execute(paid).all())


def _taxes(session: Session, site_ids: set[str]) -> dict[str, list[SiteTax]]:
    query = select(SiteTax).where(SiteTax.site_id.in_(site_ids))
    rows = session.scalars(query.order_by(SiteTax.site_id, SiteTax.since))
    return {site_id: list(found) for site_id, found in groupby(rows, lambda row: row.site_id)}


def _rates(
    session: Session, currencies: set[str], since: int, until: int
) -> dict[str, list[RateHistory]]:
    """Return the rates between two times and the one that held at the first."""
    found = {}
    for currency in sorted(currencies):
        mine = select(RateHistory).where(RateHistory.currency == currency)
        held = select(func.max(RateHistory.as_of)).where(
            RateHistory.currency == currency, RateHistory.as_of <= since
        )
        first = session.scalar(held) or 0
        query = mine.where(RateHistory.as_of >= first, RateHistory.as_of <= until)
        found[currency] = list(session.scalars(query.order_by(RateHistory.as_of)))
    return found
