"""Sales of a merchant: those that a filter leaves, page by page, and their sums. Only reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownSale
from bitcache_server.models.sales_book import Sale
from bitcache_server.services.paging import Page, newest_first

KINDS = ("sale", "share", "sent")
STATES = ("paid", "refunded", "reversed")
#: What is asked for by its whole id begins so; anything else is looked for in titles.
_IDS = ("in_", "ho_", "sa_")
_PAGE = 500


@dataclass(frozen=True)
class SaleFilter:
    """Which sales; empty is all. Times in Unix seconds, from ``since`` to before ``until``."""

    since: int | None = None
    until: int | None = None
    site_id: str = ""
    item_id: str = ""
    kind: str = ""
    rail: str = ""
    state: str = ""
    buyer: str = ""
    """An invoice, or a reader by the name that the merchant knows."""
    search: str = ""
    """An invoice, a reader's name, a sale, or a part of a title."""


@dataclass
class SaleSums:
    """What the sales of a filter come to, in msat."""

    number: int = 0
    price_msat: int = 0
    commission_msat: int = 0
    shares_msat: int = 0
    net_msat: int = 0
    """The merchant's part of what was neither given back nor vanished."""
    refunded: int = 0
    refunded_msat: int = 0
    """Prices that were given back."""
    reversed: int = 0
    reversed_msat: int = 0
    fiat_minor: dict[str, int] = field(default_factory=dict)
    """Values of what was neither, by currency, at the rates of the sales."""
    without_value: int = 0
    """So many of them have no value, because no rate was known."""


def list_sales(
    session: Session, merchant_id: str, wanted: SaleFilter, cursor: str | None, limit: int
) -> Page[Sale]:
    """Return a page of sales, newest first; raise InvalidRequest for a strange cursor."""
    return newest_first(session, Sale, _conditions(merchant_id, wanted), cursor, limit)


def all_sales(session: Session, merchant_id: str, wanted: SaleFilter) -> Iterator[Sale]:
    """Yield every sale of a filter, newest first, read page by page: many need no memory.

    Whoever reads them slowly keeps no transaction open.
    """
    cursor = None
    while True:
        page = list_sales(session, merchant_id, wanted, cursor, _PAGE)
        rows = list(page.rows)
        session.expunge_all()
        session.rollback()
        yield from rows
        cursor = page.next_cursor
        if cursor is None:
            return


def sum_sales(session: Session, merchant_id: str, wanted: SaleFilter) -> SaleSums:
    """Return what the sales of a filter come to."""
    query = (
        select(
            Sale.state,
            Sale.fiat_currency,
            func.count(),
            func.count(Sale.fiat_minor),
            func.sum(Sale.price_msat),
            func.sum(Sale.commission_msat),
            func.sum(Sale.shares_msat),
            func.sum(Sale.fiat_minor),
        )
        .where(*_conditions(merchant_id, wanted))
        .group_by(Sale.state, Sale.fiat_currency)
        .order_by(Sale.fiat_currency)
    )
    sums = SaleSums()
    for state, currency, number, valued, price, commission, shares, minor in session.execute(query):
        sums.number += number
        sums.price_msat += int(price)
        if state == "paid":
            sums.commission_msat += int(commission)
            sums.shares_msat += int(shares)
            sums.net_msat += int(price) - int(commission) - int(shares)
            sums.without_value += number - valued
            if valued:
                sums.fiat_minor[currency] = int(minor or 0)
        elif state == "refunded":
            sums.refunded += number
            sums.refunded_msat += int(price)
        else:
            sums.reversed += number
            sums.reversed_msat += int(price)
    return sums


def sale_of(session: Session, merchant_id: str, sale_id: str) -> Sale:
    """Return a sale; raise UnknownSale, for another merchant's as for one that is none."""
    found = session.get(Sale, (merchant_id, sale_id), populate_existing=True)
    if found is None:
        raise UnknownSale(f"There is no sale {sale_id[:80]!r}.")
    return found


def rails_of(session: Session, merchant_id: str) -> Sequence[str]:
    """Return the rails that brought money, in the order of their names."""
    # Few, so that the database hops from one to the next instead of reading all rows.
    found: list[str] = []
    while True:
        query = select(func.min(Sale.rail)).where(Sale.merchant_id == merchant_id)
        following = session.scalar(query.where(Sale.rail > found[-1]) if found else query)
        if following is None:
            return found
        found.append(following)


def _conditions(merchant_id: str, wanted: SaleFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Sale.merchant_id == merchant_id]
    if wanted.since is not None:
        found.append(Sale.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(Sale.created_at < wanted.until)
    for column, value in (
        (Sale.site_id, wanted.site_id),
        (Sale.item_id, wanted.item_id),
        (Sale.kind, wanted.kind),
        (Sale.rail, wanted.rail),
        (Sale.state, wanted.state),
        (Sale.holder, wanted.buyer),
    ):
        if value:
            found.append(column == value)
    if wanted.search.startswith(_IDS):
        words = wanted.search
        found.append(or_(Sale.holder == words, Sale.invoice_id == words, Sale.id == words))
    elif wanted.search:
        found.append(Sale.title.icontains(wanted.search, autoescape=True))
    return found
