"""Sales to take along: tables (RFC 4180) and JSON lines, written while they are read.

Tables begin with a byte order mark: without it the spreadsheets of many offices show names
in the wrong letters. Titles and names never become formulas.
"""

import csv
import heapq
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

from sqlalchemy import select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from bitcache_server.domain.fiat_value import (
    decimal_text,
    fiat_value_minor,
    msat_as_sat,
    tax_within_minor,
)
from bitcache_server.domain.money import CURRENCY_EXPONENTS
from bitcache_server.models.sales_book import RateHistory, Sale
from bitcache_server.services.local_days import Period, zone_of
from bitcache_server.services.merchant_settings import percent_text
from bitcache_server.services.order_lines import Line
from bitcache_server.services.order_taxes import gross_by_rate, lines_of, shared_out
from bitcache_server.services.sale_views import sale_view
from bitcache_server.services.sales_list import SaleFilter, all_sales
from bitcache_server.services.texts import table_cell

_BOM = "\ufeff"
_PAGE = 500
_COLUMNS = (
    "sale", "time_utc", "time_local", "kind", "state", "site", "item", "title", "holder",
    "invoice", "rail", "own_wallet", "price_msat", "price_sat", "commission_msat",
    "commission_sat", "shares_msat", "shares_sat", "net_msat", "net_sat", "currency", "value",
    "rate_per_btc", "rate_time_utc", "tax_name", "tax_percent", "refunded_utc", "refunded_by",
    "reversed_utc",
)  # fmt: skip
_ACCOUNTING_COLUMNS = (
    "date", "time", "document", "corrects", "kind", "title", "site", "item", "buyer", "invoice",
    "rail", "tax_name", "tax_percent", "currency", "net", "tax", "gross", "commission",
    "price_msat", "commission_msat", "shares_msat", "merchant_msat", "rate_per_btc",
    "rate_time_utc", "rate_source",
)  # fmt: skip


def sales_csv(
    session: Session, merchant_id: str, zone_name: str, wanted: SaleFilter
) -> Iterator[str]:
    """Yield the lines of a table of sales, newest first."""
    zone = zone_of(zone_name) or UTC
    yield from _lines(
        _COLUMNS, (_row(sale, zone) for sale in all_sales(session, merchant_id, wanted))
    )


def sales_json_lines(session: Session, merchant_id: str, wanted: SaleFilter) -> Iterator[str]:
    """Yield one JSON document a line, newest first, in the form of ``GET /v1/sales``."""
    for sale in all_sales(session, merchant_id, wanted):
        yield sale_view(sale).model_dump_json() + "\n"


def accounting_csv(
    session: Session, merchant_id: str, zone_name: str, span: Period
) -> Iterator[str]:
    """Yield the bookings of a period, oldest first.

    What was given back or vanished is booked with the opposite sign at the time of that,
    at the rate of the sale: the two add up to nothing.
    """
    zone = zone_of(zone_name) or UTC
    streams = [
        _bookings(session, merchant_id, span, column, suffix)
        for column, suffix in (
            (Sale.created_at, ""),
            (Sale.refunded_at, "R"),
            (Sale.reversed_at, "V"),
        )
    ]
    merged = heapq.merge(*streams, key=lambda booking: (booking.at, booking.document))
    rows = (_accounting_row(one, part, zone) for one in merged for part in _parts(one))
    yield from _lines(_ACCOUNTING_COLUMNS, rows)


@dataclass(frozen=True)
class _Booking:
    """A sale, or what takes it back."""

    sale: Sale
    at: int
    suffix: str
    """Empty for the sale; ``R`` for a refund, ``V`` for a payment that vanished."""
    source: str
    """Whose answers stand behind the rate."""
    lines: Sequence[Line]
    """Those of an order."""

    @property
    def document(self) -> str:
        return f"{self.sale.id}-{self.suffix}" if self.suffix else self.sale.id

    @property
    def sign(self) -> int:
        return -1 if self.suffix else 1


def _bookings(
    session: Session,
    merchant_id: str,
    span: Period,
    column: "InstrumentedAttribute[int] | InstrumentedAttribute[int | None]",
    suffix: str,
) -> Iterator[_Booking]:
    last = (span.begin - 1, "")
    while True:
        query = select(Sale, column).where(
            Sale.merchant_id == merchant_id,
            tuple_(column, Sale.id) > tuple_(*last),
            column >= span.begin,
            column < span.end,
        )
        rows = session.execute(query.order_by(column, Sale.id).limit(_PAGE)).all()
        sales = [row[0] for row in rows]
        sources = _sources(session, sales)
        orders = lines_of(session, (sale.item_id for sale in sales if sale.kind == "sale"))
        found = [
            _Booking(
                sale,
                int(at or 0),
                suffix,
                sources.get(_rate_of(sale), ""),
                orders.get(sale.item_id, ()),
            )
            for sale, at in rows
        ]
        session.expunge_all()
        session.rollback()
        yield from found
        if len(found) < _PAGE:
            return
        last = (found[-1].at, found[-1].sale.id)


def _rate_of(sale: Sale) -> tuple[str, int]:
    return (sale.fiat_currency, sale.rate_as_of or 0)


def _sources(session: Session, sales: Sequence[Sale]) -> dict[tuple[str, int], str]:
    """Return who gave each rate; an invoice keeps a rate that the history may not have."""
    wanted = {_rate_of(sale) for sale in sales if sale.rate_as_of is not None}
    query = select(RateHistory.currency, RateHistory.as_of, RateHistory.sources)
    query = query.where(tuple_(RateHistory.currency, RateHistory.as_of).in_(wanted))
    known = {(currency, as_of): names for currency, as_of, names in session.execute(query)}
    return dict.fromkeys(wanted, "invoice") | known


def _row(sale: Sale, zone: tzinfo) -> Sequence[str | int]:
    msat = (sale.price_msat, sale.commission_msat, sale.shares_msat, sale.net_msat)
    return (
        sale.id,
        _utc(sale.created_at),
        _local(sale.created_at, zone).isoformat(),
        sale.kind,
        sale.state,
        sale.site_id,
        sale.item_id,
        table_cell(sale.title),
        table_cell(sale.holder),
        sale.invoice_id,
        sale.rail,
        int(sale.direct),
        *(text for amount in msat for text in (amount, msat_as_sat(amount))),
        sale.fiat_currency,
        _fiat(sale.fiat_minor, sale.fiat_currency),
        sale.rate_price_per_btc or "",
        _utc(sale.rate_as_of),
        table_cell(sale.tax_name),
        percent_text(sale.tax_ppm),
        _utc(sale.refunded_at),
        sale.refund_by,
        _utc(sale.reversed_at),
    )


@dataclass(frozen=True)
class _Part:
    """What of a sale has one tax rate: all of it, but for an order whose lines have several."""

    tax_ppm: int
    price_msat: int
    commission_msat: int
    shares_msat: int
    gross_minor: int | None
    commission_minor: int | None
    """None where no rate is known."""


def _parts(one: _Booking) -> list[_Part]:
    """Return the parts of a sale by their tax, which add up to it."""
    sale = one.sale
    by_rate = gross_by_rate(one.lines) or {sale.tax_ppm: 1}
    weights = list(by_rate.values())

    def shared(amount: int | None) -> Sequence[int | None]:
        return [None] * len(weights) if amount is None else shared_out(amount, weights)

    return [
        _Part(*values)
        for values in zip(
            by_rate,
            shared_out(sale.price_msat, weights),
            shared_out(sale.commission_msat, weights),
            shared_out(sale.shares_msat, weights),
            shared(sale.fiat_minor),
            shared(_commission_minor(sale)),
            strict=True,
        )
    ]


def _accounting_row(one: _Booking, part: _Part, zone: tzinfo) -> Sequence[str | int]:
    sale, sign = one.sale, one.sign
    at = _local(one.at, zone)
    tax = None if part.gross_minor is None else tax_within_minor(part.gross_minor, part.tax_ppm)
    net = None if part.gross_minor is None else part.gross_minor - (tax or 0)
    return (
        at.date().isoformat(),
        at.isoformat()[len("2026-01-01T") :],
        one.document,
        sale.id if one.suffix else "",
        {"": sale.kind, "R": "refund", "V": "reversal"}[one.suffix],
        table_cell(sale.title),
        sale.site_id,
        sale.item_id,
        table_cell(sale.holder),
        sale.invoice_id,
        sale.rail,
        table_cell(sale.tax_name),
        percent_text(part.tax_ppm),
        sale.fiat_currency,
        *(
            _fiat(None if amount is None else sign * amount, sale.fiat_currency)
            for amount in (net, tax, part.gross_minor, part.commission_minor)
        ),
        sign * part.price_msat,
        sign * part.commission_msat,
        sign * part.shares_msat,
        sign * (part.price_msat - part.commission_msat - part.shares_msat),
        sale.rate_price_per_btc or "",
        _utc(sale.rate_as_of),
        one.source,
    )


def _commission_minor(sale: Sale) -> int | None:
    """Return the commission in minor units; None where no rate is known."""
    if sale.fiat_minor is None or sale.rate_price_per_btc is None:
        return None
    rate = Decimal(sale.rate_price_per_btc)
    return fiat_value_minor(sale.commission_msat, rate, sale.fiat_currency)


def _fiat(minor: int | None, currency: str) -> str:
    if minor is None or currency not in CURRENCY_EXPONENTS:
        return ""
    return decimal_text(minor, currency)


def _utc(at: int | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _local(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at, zone)


def _lines(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Iterator[str]:
    yield _BOM + _line(columns)
    for row in rows:
        yield _line(row)


def _line(cells: Sequence[str | int]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
