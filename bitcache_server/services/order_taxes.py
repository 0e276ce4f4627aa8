"""The taxes of an order: its lines have rates of their own.

A line that names none gets the one that its site has when the order is made. That is kept with
the order, so that its page, its invoice and the books say the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.models.orders import Order
from bitcache_server.models.sales_book import SiteTax
from bitcache_server.services.order_lines import Line, from_json


def lines_of(session: Session, item_ids: Iterable[str]) -> Mapping[str, Sequence[Line]]:
    """Return the lines of orders by what they are sold as; every other item is left out."""
    query = select(Order.item_id, Order.lines).where(Order.item_id.in_(set(item_ids) - {""}))
    return {item_id: from_json(lines) for item_id, lines in session.execute(query)}


def with_site_tax(
    session: Session, site_id: str, lines: Sequence[Line], at: int
) -> tuple[Line, ...]:
    """Return the lines, those without a rate with the site's at a time; none where it has none."""
    query = select(SiteTax.tax_ppm).where(SiteTax.site_id == site_id, SiteTax.since <= at)
    site_ppm = session.scalar(query.order_by(SiteTax.since.desc()).limit(1)) or None
    return tuple(
        replace(line, tax_ppm=site_ppm) if line.tax_ppm is None else line for line in lines
    )


def gross_by_rate(lines: Sequence[Line]) -> Mapping[int, int]:
    """Return what the lines of each rate cost, in minor units, the highest rate first."""
    found: Counter[int] = Counter()
    for line in lines:
        found[line.tax_ppm or 0] += line.sum_minor
    return {rate: found[rate] for rate in sorted(found, reverse=True)}


def shared_out(amount: int, weights: Sequence[int]) -> list[int]:
    """Return an amount in parts as large as the weights say; they add up to it exactly.

    A weight may be below 0, as a discount is; their sum is above. What a part lacks by
    rounding down stands in the next one.
    """
    whole, so_far, parts = sum(weights), 0, []
    for weight in weights:
        before = amount * so_far // whole
        so_far += weight
        parts.append(amount * so_far // whole - before)
    return parts
