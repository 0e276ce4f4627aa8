"""/dashboard/<merchant>/sales: what was sold, filtered; tables, statements to take along."""

from collections.abc import Iterator
from datetime import UTC, datetime

from babel.dates import format_datetime, format_skeleton
from flask import Blueprint, Response, request, stream_with_context

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.dashboard.sale_query import (
    KIND_WORDS,
    PERIODS,
    RAIL_WORDS,
    STATE_WORDS,
    Asked,
    asked_for,
    typed,
)
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import language, said
from bitcache_server.i18n import day_pattern
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.sales_book import Sale
from bitcache_server.services.catalog import get_merchant, list_sites
from bitcache_server.services.local_days import zone_of
from bitcache_server.services.members import EVERYBODY
from bitcache_server.services.monthly import (
    month_span,
    monthly_statement,
    months_of,
    parse_month,
)
from bitcache_server.services.paging import Page
from bitcache_server.services.sales_export import accounting_csv, sales_csv, sales_json_lines
from bitcache_server.services.sales_list import (
    SaleFilter,
    SaleSums,
    list_sales,
    rails_of,
    sum_sales,
)

PAGE_SALES = 50
_TABLE = "text/csv; charset=utf-8"


def add_routes(pages: Blueprint) -> None:
    """Add the list and what can be taken along."""
    base = "/<merchant_id>/sales"
    pages.add_url_rule(base, "sales", show)
    pages.add_url_rule(f"{base}.csv", "sales_csv", table)
    pages.add_url_rule(f"{base}.jsonl", "sales_jsonl", json_lines)
    pages.add_url_rule(f"{base}/accounting.csv", "accounting_csv", accounting)
    pages.add_url_rule(f"{base}/statement.pdf", "statement_pdf", statement)


def show(merchant_id: str) -> Response:
    """Show the sales that the address asks for, and what they come to."""
    require_member(merchant_id, EVERYBODY)
    merchant = get_merchant(session(), merchant_id)
    cursor = request.args.get("cursor", "")[:200]
    try:
        asked = asked_for(merchant, deps().clock())
        found = list_sales(session(), merchant_id, asked.wanted, cursor or None, PAGE_SALES)
        sums = sum_sales(session(), merchant_id, asked.wanted)
    except InvalidRequest as error:
        asked = Asked(typed(), SaleFilter())
        return _page(merchant, asked, Page([], None), SaleSums(), error)
    return _page(merchant, asked, found, sums)


def _page(
    merchant: Merchant,
    asked: Asked,
    found: Page[Sale],
    sums: SaleSums,
    error: InvalidRequest | None = None,
) -> Response:
    zone = merchant.time_zone
    months = months_of(merchant, deps().clock())
    return page(
        "dashboard/sales.html",
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        here="sales",
        asked=asked.texts,
        is_filtered=asked.is_filtered,
        sales=found.rows,
        sums=sums,
        older=asked.query(cursor=found.next_cursor) if found.next_cursor else "",
        newest=asked.query() if request.args.get("cursor") else "",
        chosen=asked.query(),
        time_zone=zone,
        moment=lambda at: local_words(at, zone),
        periods=PERIODS,
        kinds=KIND_WORDS,
        states=STATE_WORDS,
        rail_words=RAIL_WORDS,
        rails=rails_of(session(), merchant.id),
        sites=list_sites(session(), merchant.id),
        months=[
            (month.strftime("%Y-%m"), format_skeleton("yMMMM", month, locale=language()))
            for month in months
        ],
    )


def table(merchant_id: str) -> Response:
    """Give the sales that the address asks for as a table."""
    merchant, asked = _asked(merchant_id)
    lines = sales_csv(session(), merchant_id, merchant.time_zone, asked.wanted)
    return _download(lines, "bitcache-sales.csv", _TABLE)


def json_lines(merchant_id: str) -> Response:
    """Give the sales that the address asks for as JSON, one a line."""
    _merchant, asked = _asked(merchant_id)
    lines = sales_json_lines(session(), merchant_id, asked.wanted)
    return _download(lines, "bitcache-sales.jsonl", "application/jsonl; charset=utf-8")


def accounting(merchant_id: str) -> Response:
    """Give a month's bookings as a table for the books of a business."""
    require_member(merchant_id, EVERYBODY)
    merchant = get_merchant(session(), merchant_id)
    month = parse_month(request.args.get("month", ""))
    span = month_span(merchant.time_zone, month)
    lines = accounting_csv(session(), merchant_id, merchant.time_zone, span)
    return _download(lines, f"bitcache-accounting-{month:%Y-%m}.csv", _TABLE)


def statement(merchant_id: str) -> Response:
    """Give a month's statement as a PDF."""
    # Only here: what writes PDF takes long to load.
    from bitcache_server.services.statement_pdf import statement_pdf

    require_member(merchant_id, EVERYBODY)
    merchant = get_merchant(session(), merchant_id)
    month = parse_month(request.args.get("month", ""))
    made = monthly_statement(session(), merchant, month, deps().clock())
    answer = Response(statement_pdf(deps(), made, language()), content_type="application/pdf")
    name = f"bitcache-statement-{month:%Y-%m}.pdf"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def local_words(at: int, zone_name: str) -> str:
    """Return a time as people of a time zone read it."""
    moment = datetime.fromtimestamp(at, zone_of(zone_name) or UTC)
    return str(format_datetime(moment, f"{day_pattern(language())}, HH:mm", locale=language()))


def _asked(merchant_id: str) -> tuple[Merchant, Asked]:
    require_member(merchant_id, EVERYBODY)
    merchant = get_merchant(session(), merchant_id)
    return merchant, asked_for(merchant, deps().clock())


def _download(lines: Iterator[str], name: str, content_type: str) -> Response:
    answer = Response(stream_with_context(lines), content_type=content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
