"""A month of a merchant's account: from the opening balance to the closing one, to the msat.

Sales, refunds and vanished payments come from the book of sales, everything else from the
ledger, both as far as the book goes: so the lines add up, whatever is sold meanwhile. What
was taken back counts in the month in which that happened; a month that was closed stays as
it was told.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.sales_book import Sale
from bitcache_server.models.session import read_transaction
from bitcache_server.services.local_days import Period, period, today_in, zone_of
from bitcache_server.services.sales_book import read_through_id

#: All offsets of time zones are multiples of it, so that days are made of such pieces.
_QUARTER_S = 900
_FIRST_YEAR, _LAST_YEAR = 2009, 9998


@dataclass
class Turnover:
    """What changed a balance in some time, in msat; each figure with its sign."""

    sales: int = 0
    """How many sales there were; shares of others' sales are not among them."""
    sales_msat: int = 0
    """Prices of own sales, and what was sent."""
    commission_msat: int = 0
    shares_out_msat: int = 0
    """To co-authors."""
    shares_in_msat: int = 0
    """Of other merchants' sales."""
    refunded_msat: int = 0
    """Prices that were given back."""
    reversed_msat: int = 0
    """Prices whose payment vanished."""
    costs_back_msat: int = 0
    """Commission and co-authors' shares of both, that came back."""
    own_wallet_msat: int = 0
    """Paid straight into the merchant's own wallet."""
    payouts_msat: int = 0
    """With their network fees, less what came back."""
    other_msat: int = 0
    """Corrections by the operator."""

    @property
    def change_msat(self) -> int:
        """Return what all of it did to the balance."""
        return sum(getattr(self, one.name) for one in fields(self) if one.name != "sales")


@dataclass
class DayOfMonth:
    """A day that had any movement, and the balance at its end."""

    day: date
    turnover: Turnover = field(default_factory=Turnover)
    closing_msat: int = 0


@dataclass(frozen=True)
class MonthlyStatement:
    """A month, or what there is of it yet."""

    merchant_name: str
    first_day: date
    time_zone: str
    span: Period
    is_over: bool
    opening_msat: int
    turnover: Turnover
    days: Sequence[DayOfMonth]
    fiat_minor: Mapping[str, int]
    """What own sales were worth when they were made, by currency, less what was taken back
    in the month, at the worth of its sale."""

    @property
    def closing_msat(self) -> int:
        """Return the balance at the end."""
        return self.opening_msat + self.turnover.change_msat


def parse_month(text: str) -> date:
    """Return the first day of a month such as ``2026-11``; raise InvalidRequest."""
    try:
        first = datetime.strptime(text, "%Y-%m").date()
    except ValueError:
        raise InvalidRequest("Give the month as YYYY-MM.") from None
    if not _FIRST_YEAR <= first.year <= _LAST_YEAR:
        raise InvalidRequest("There was no bitcoin in that month.")
    return first


def month_span(zone_name: str, first_day: date) -> Period:
    """Return when a month begins and ends there, in Unix seconds."""
    following = (first_day + timedelta(days=32)).replace(day=1)
    return period(zone_name, first_day, following)


def monthly_statement(
    session: Session, merchant: Merchant, first_day: date, now: int
) -> MonthlyStatement:
    """Return a month of a merchant's account. Reads one unchanging view; ends the session's."""
    zone_name, merchant_id, name = merchant.time_zone, merchant.id, merchant.name
    span = month_span(zone_name, first_day)
    with read_transaction(session):
        through_id = read_through_id(session)
        account = _Account(session, merchant_id, through_id)
        opening_msat = account.before(span.begin)
        quarters = account.quarters(span)
        fiat_minor = account.fiat(span)
    days = _days(zone_name, quarters, opening_msat)
    return MonthlyStatement(
        merchant_name=name,
        first_day=first_day,
        time_zone=zone_name,
        span=span,
        is_over=now >= span.end,
        opening_msat=opening_msat,
        turnover=_sum(one.turnover for one in days),
        days=days,
        fiat_minor=fiat_minor,
    )


def months_of(merchant: Merchant, now: int) -> Sequence[date]:
    """Return the first days of the months since the merchant's first, newest first."""
    month = today_in(merchant.time_zone, now).replace(day=1)
    first = today_in(merchant.time_zone, merchant.created_at).replace(day=1)
    found = [month]
    while month > first:
        month = (month - timedelta(days=1)).replace(day=1)
        found.append(month)
    return found


def _days(
    zone_name: str, quarters: Mapping[int, Turnover], opening_msat: int
) -> Sequence[DayOfMonth]:
    zone = zone_of(zone_name) or UTC
    by_day: dict[date, list[Turnover]] = defaultdict(list)
    for number in sorted(quarters):
        day = datetime.fromtimestamp(number * _QUARTER_S, zone).date()
        by_day[day].append(quarters[number])
    days, held_msat = [], opening_msat
    for day, turnovers in by_day.items():
        turnover = _sum(turnovers)
        held_msat += turnover.change_msat
        days.append(DayOfMonth(day, turnover, held_msat))
    return days


def _sum(turnovers: Iterable[Turnover]) -> Turnover:
    total = Turnover()
    for turnover in turnovers:
        for one in fields(Turnover):
            amount = getattr(total, one.name) + getattr(turnover, one.name)
            setattr(total, one.name, amount)
    return total


class _Account:
    """A merchant's account, by the book as far as it goes and by the ledger up to there."""

    def __init__(self, session: Session, merchant_id: str, through_id: int) -> None:
        self._session, self._merchant_id = session, merchant_id
        self._account = chart.merchant(merchant_id)
        self._through_id = through_id

    def before(self, at: int) -> int:
        """Return the balance that all transfers of before a time make."""
        query = select(func.coalesce(func.sum(self._signed()), 0))
        query = query.where(*self._mine(), Transfer.created_at < at)
        return int(self._session.execute(query).scalar_one())

    def quarters(self, span: Period) -> dict[int, Turnover]:
        """Return the movements of each quarter of an hour that has any."""
        found: dict[int, Turnover] = defaultdict(Turnover)
        self._add_sales(found, span)
        for column, name in (
            (Sale.refunded_at, "refunded_msat"),
            (Sale.reversed_at, "reversed_msat"),
        ):
            self._add_taken_back(found, span, column, name)
        self._add_others(found, span)
        return found

    def fiat(self, span: Period) -> dict[str, int]:
        """Return what the span's own sales were worth, less what of any was taken back in it."""
        found: Counter[str] = Counter()
        for sign, column in ((1, Sale.created_at), (-1, Sale.refunded_at), (-1, Sale.reversed_at)):
            query = select(Sale.fiat_currency, func.sum(Sale.fiat_minor)).where(
                *self._in(column, span), Sale.kind != "share", Sale.fiat_minor.is_not(None)
            )
            for currency, minor in self._session.execute(query.group_by(Sale.fiat_currency)):
                found[currency] += sign * int(minor or 0)
        return {currency: found[currency] for currency in sorted(found)}

    def _add_sales(self, found: dict[int, Turnover], span: Period) -> None:
        for number, kind, count, price, costs, shares in self._sums(Sale.created_at, span):
            turnover = found[number]
            if kind == "share":
                turnover.shares_in_msat += price
                continue
            turnover.sales += count
            turnover.sales_msat += price
            turnover.commission_msat -= costs
            turnover.shares_out_msat -= shares

    def _add_taken_back(
        self,
        found: dict[int, Turnover],
        span: Period,
        column: InstrumentedAttribute[int | None],
        name: str,
    ) -> None:
        for number, _, _, price, costs, shares in self._sums(column, span):
            turnover = found[number]
            setattr(turnover, name, getattr(turnover, name) - price)
            turnover.costs_back_msat += costs + shares

    def _sums(
        self,
        column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None],
        span: Period,
    ) -> Iterator[tuple[int, str, int, int, int, int]]:
        number: ColumnElement[Any] = column.expression // _QUARTER_S
        query = select(
            number,
            Sale.kind,
            func.count(),
            func.sum(Sale.price_msat),
            func.sum(Sale.commission_msat),
            func.sum(Sale.shares_msat),
        )
        query = query.where(*self._in(column, span)).group_by(number, Sale.kind)
        for piece, kind, count, price, costs, shares in self._session.execute(query):
            yield int(piece), kind, count, int(price), int(costs), int(shares)

    def _add_others(self, found: dict[int, Turnover], span: Period) -> None:
        """Add what the ledger booked besides sales and what takes them back."""
        number: ColumnElement[Any] = Transfer.created_at.expression // _QUARTER_S
        query = (
            select(number, Transfer.kind, func.sum(self._signed()))
            .where(
                *self._mine(),
                Transfer.created_at >= span.begin,
                Transfer.created_at < span.end,
                Transfer.kind != Kind.SALE.value,
                # What leaves the account as a reversal takes a sale back.
                or_(Transfer.kind != Kind.REVERSAL.value, Transfer.to_account == self._account),
            )
            .group_by(number, Transfer.kind)
        )
        for piece, kind, amount in self._session.execute(query):
            name = _OTHERS.get(Kind(kind), "other_msat")
            turnover = found[int(piece)]
            setattr(turnover, name, getattr(turnover, name) + int(amount))

    def _signed(self) -> ColumnElement[int]:
        incoming = Transfer.to_account == self._account
        return case((incoming, Transfer.amount_msat), else_=-Transfer.amount_msat)

    def _mine(self) -> list[ColumnElement[bool]]:
        either = or_(Transfer.to_account == self._account, Transfer.from_account == self._account)
        return [either, Transfer.id <= self._through_id]

    def _in(
        self,
        column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None],
        span: Period,
    ) -> list[ColumnElement[bool]]:
        return [Sale.merchant_id == self._merchant_id, column >= span.begin, column < span.end]


_OTHERS = {
    Kind.RECEIPT: "own_wallet_msat",
    Kind.REVERSAL: "own_wallet_msat",
    Kind.RESERVE: "payouts_msat",
    Kind.RELEASE: "payouts_msat",
    Kind.FEE_RETURN: "payouts_msat",
}
