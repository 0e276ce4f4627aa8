"""Sums of the book of sales, kept as it is written: pages read them, not a hundred thousand rows.

Written in the transaction that writes the sale or marks it as taken back, so that sums and
book are never of two minds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.catalog import ORDER_KIND, Item
from bitcache_server.models.sales_book import Sale
from bitcache_server.models.visits import ItemDay, TakingQuarter

QUARTER_S = 900
#: The worth of a sale is kept in thousandths of a minor unit, rounded half to even.
MILLI = 1_000
_ROWS_AT_ONCE = 1_000


def count_sold(session: Session, sales: Sequence[Sale]) -> None:
    """Add sales that have just come into the book, in its transaction."""
    _count(session, sales, [sale.created_at for sale in sales], 1)


def count_taken_back(session: Session, sales: Sequence[Sale], at: int) -> None:
    """Take away what was given back or vanished just then, in the book's transaction.

    Takings lose it at that time; an item loses it on the day of the sale.
    """
    _count(session, sales, [at for _ in sales], -1)


def _count(session: Session, sales: Sequence[Sale], times: Sequence[int], sign: int) -> None:
    quarters: dict[tuple[str, int, str], Counter[str]] = {}
    items: dict[tuple[str, int], Counter[str]] = {}
    for sale, at in zip(sales, times, strict=True):
        key = (sale.merchant_id, at // QUARTER_S, _currency(sale))
        sums = quarters.setdefault(key, Counter())
        sums["net_msat"] += sign * sale.net_msat
        sums["milli_minor"] += sign * _worth_milli(sale)
        sums["sales"] += sign
        if sale.kind == "sale" and sale.item_id:
            day = items.setdefault((sale.item_id, sale.created_at // SECONDS_PER_DAY), Counter())
            day["paid"] += sign
            day["clicked"] += sign * (not sale.invoice_id)
            day["revenue_msat"] += sign * sale.net_msat
    names = ("merchant_id", "quarter", "currency")
    found = [{**dict(zip(names, k, strict=True)), **quarters[k]} for k in sorted(quarters)]
    _upsert(session, TakingQuarter, names, found)
    add_to_item_days(session, items)


def add_to_item_days(session: Session, sums: Mapping[tuple[str, int], Mapping[str, int]]) -> None:
    """Add numbers to the days of items; what is none, or stands for an order, is left out."""
    # In one order in all processes: none waits for another that waits for it.
    keys = sorted(sums)
    for begin in range(0, len(keys), _ROWS_AT_ONCE):
        some = keys[begin : begin + _ROWS_AT_ONCE]
        ids = {item_id for item_id, _ in some}
        known = select(Item.id, Item.site_id).where(Item.id.in_(ids), Item.kind != ORDER_KIND)
        sites = {row[0]: row[1] for row in session.execute(known)}
        empty = dict.fromkeys(("seen", "started", "paid", "clicked", "revenue_msat"), 0)
        rows = [
            {"item_id": i, "day": day, "site_id": sites[i], **empty, **sums[i, day]}
            for i, day in some
            if i in sites
        ]
        _upsert(session, ItemDay, ("item_id", "day"), rows, ("site_id",))


def _upsert(
    session: Session,
    model: type[ItemDay] | type[TakingQuarter],
    keys: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    fixed: Sequence[str] = (),
) -> None:
    """Insert rows, or add their numbers to those that are there."""
    if not rows:
        return
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    statement = (postgresql.insert if is_postgresql else sqlite.insert)(model)
    numbers = [name for name in rows[0] if name not in (*keys, *fixed)]
    session.execute(
        statement.on_conflict_do_update(
            index_elements=list(keys),
            set_={name: getattr(model, name) + statement.excluded[name] for name in numbers},
        ),
        # Beside the statement: inside it, SQLAlchemy would compile it anew each time.
        [dict(row) for row in rows],
    )


def _currency(sale: Sale) -> str:
    """Return in what a sale's worth is known; empty where it is not."""
    return sale.fiat_currency if sale.fiat_minor is not None else ""


def _worth_milli(sale: Sale) -> int:
    """Return the worth of the merchant's part, in thousandths of a minor unit."""
    if sale.fiat_minor is None:
        return 0
    return round(Fraction(sale.fiat_minor * MILLI * sale.net_msat, sale.price_msat))
