"""What a merchant takes in: by day, and today, this week and this month beside the ones before.

Takings are the merchant's part of sales at the time of the sale, less what of it was given
back or vanished, at the time of that: so the days of a month add up to its statement. The
sums of quarters of an hour are kept (``sale_sums``); days are put together from those.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.money import MSAT_PER_BTC, ceil_div, exponent_of
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.sales_book import RateHistory, Sale
from bitcache_server.models.visits import TakingQuarter
from bitcache_server.services.local_days import (
    Period,
    begin_of,
    days_before,
    monday_of,
    month_before,
    month_of,
    period,
    today_in,
)
from bitcache_server.services.sale_sums import MILLI, QUARTER_S

CHART_DAYS = 30


@dataclass(frozen=True)
class Sum:
    """Takings of a period."""

    msat: int = 0
    minor: int = 0
    """In the merchant's currency at the rates of the sales, rounded half to even."""
    sales: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.msat + other.msat, self.minor + other.minor, self.sales + other.sales)


@dataclass(frozen=True)
class Compared:
    """Takings of a period so far, and of the one before up to the same time of it."""

    now: Sum
    then: Sum


@dataclass(frozen=True)
class DaySum:
    """Takings of one day of the merchant."""

    day: date
    sum: Sum


@dataclass(frozen=True)
class Takings:
    """What the first page shows."""

    currency: str
    today: Compared
    week: Compared
    month: Compared
    days: Sequence[DaySum]
    """The last ``CHART_DAYS``, oldest first."""


def takings(session: Session, merchant: Merchant, now: int) -> Takings:
    """Return a merchant's takings; only reads, a few indexed queries."""
    zone, today = merchant.time_zone, today_in(merchant.time_zone, now)
    week, month = monday_of(today), month_of(today)
    earliest = min(month_before(today), _first_of_chart(today), week - timedelta(days=7))
    book = _Book(session, merchant, period(zone, earliest, today + timedelta(days=1)))

    def compared(begin: date, before: date) -> Compared:
        begins, began = begin_of(zone, begin), begin_of(zone, before)
        # No later than the period before lasted: February 28 days, March 31.
        same_time = min(began + (now + 1 - begins), begins)
        return Compared(book.sum(Period(begins, now + 1)), book.sum(Period(began, same_time)))

    days = days_before(today, CHART_DAYS)
    return Takings(
        currency=merchant.currency,
        today=compared(today, today - timedelta(days=1)),
        week=compared(week, week - timedelta(days=7)),
        month=compared(month, month_before(today)),
        days=[DaySum(day, book.sum(period(zone, day, day + timedelta(days=1)))) for day in days],
    )


def begin_of_chart(zone_name: str, now: int) -> int:
    """Return when the first of the last ``CHART_DAYS`` began in a merchant's time zone."""
    return begin_of(zone_name, _first_of_chart(today_in(zone_name, now)))


def _first_of_chart(today: date) -> date:
    return today - timedelta(days=CHART_DAYS - 1)


def sales_of_item(session: Session, merchant_id: str, item_id: str, limit: int) -> Sequence[Sale]:
    """Return the newest sales of an item."""
    query = (
        select(Sale)
        .where(Sale.merchant_id == merchant_id, Sale.item_id == item_id)
        .order_by(Sale.created_at.desc(), Sale.id.desc())
        .limit(limit)
    )
    return session.scalars(query).all()


class _Book:
    """The sums of a merchant's quarters of an hour, and those of any time made of them."""

    def __init__(self, session: Session, merchant: Merchant, span: Period) -> None:
        query = select(
            TakingQuarter.quarter,
            TakingQuarter.currency,
            TakingQuarter.net_msat,
            TakingQuarter.milli_minor,
            TakingQuarter.sales,
        ).where(
            TakingQuarter.merchant_id == merchant.id,
            TakingQuarter.quarter >= _quarter(span.begin),
            TakingQuarter.quarter < _quarter(span.end),
        )
        rows = session.execute(query.order_by(TakingQuarter.quarter)).all()
        rates: Mapping[int, Decimal] = {}
        if any(row.currency != merchant.currency for row in rows):
            rates = _rates_by_day(session, merchant.currency, span)
        worth = [_worth_milli(row, merchant.currency, rates) for row in rows]
        self._numbers = [row.quarter for row in rows]
        self._msat = list(accumulate((row.net_msat for row in rows), initial=0))
        self._milli = list(accumulate(worth, initial=0))
        self._sales = list(accumulate((row.sales for row in rows), initial=0))

    def sum(self, of: Period) -> Sum:
        """Return the sums of the quarters that begin in a period."""
        first = bisect_left(self._numbers, _quarter(of.begin))
        last = bisect_left(self._numbers, _quarter(of.end))
        return Sum(
            self._msat[last] - self._msat[first],
            round(Fraction(self._milli[last] - self._milli[first], MILLI)),
            self._sales[last] - self._sales[first],
        )


def _quarter(at: int) -> int:
    """Return the number of the first quarter of an hour that begins at a time or after it."""
    return ceil_div(at, QUARTER_S)


def _worth_milli(row: Any, currency: str, rates: Mapping[int, Decimal]) -> int:
    """Return what a quarter's sales were worth, in thousandths of a minor unit.

    Sales whose worth is known in another currency, or not at all, are worth what the last rate
    of their day (UTC) says; without one, the nearest later or else the last that is known.
    """
    if row.currency == currency:
        return int(row.milli_minor)
    if not rates:
        return 0
    days = sorted(rates)
    place = bisect_left(days, row.quarter * QUARTER_S // SECONDS_PER_DAY)
    price = rates[days[min(place, len(days) - 1)]]
    scale: int = MILLI * 10 ** exponent_of(currency)
    exact = Fraction(price) * int(row.net_msat) * scale
    return round(exact / MSAT_PER_BTC)


def _rates_by_day(session: Session, currency: str, span: Period) -> dict[int, Decimal]:
    """Return the last rate of each day that has one, in major units for one bitcoin."""
    day: ColumnElement[Any] = RateHistory.as_of.expression // SECONDS_PER_DAY
    newest = (
        select(func.max(RateHistory.as_of))
        .where(
            RateHistory.currency == currency,
            RateHistory.as_of >= span.begin,
            RateHistory.as_of < span.end,
        )
        .group_by(day)
    )
    found = session.execute(
        select(RateHistory.as_of, RateHistory.price_per_btc).where(
            RateHistory.currency == currency, RateHistory.as_of.in_(newest)
        )
    )
    return {as_of // SECONDS_PER_DAY: Decimal(price) for as_of, price in found}
