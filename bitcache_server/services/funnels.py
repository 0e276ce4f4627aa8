"""How many saw the wall, started to pay, and paid, since a day.

Started are those who got an invoice, who paid with one click, and whose balance was too small
for the click. What was given back is not paid. Orders have no wall and are not among it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.catalog import Site
from bitcache_server.models.visits import ItemDay


@dataclass(frozen=True)
class Funnel:
    """Three numbers of one period; the merchant's part of the sales with them."""

    seen: int = 0
    started: int = 0
    paid: int = 0
    revenue_msat: int = 0


_SUMS: tuple[ColumnElement[int], ...] = tuple(
    func.coalesce(func.sum(column), 0)
    for column in (
        ItemDay.seen,
        ItemDay.started + ItemDay.clicked,
        ItemDay.paid,
        ItemDay.revenue_msat,
    )
)


def sites_of(session: Session, merchant_id: str) -> list[str]:
    """Return the ids of a merchant's sites."""
    return list(session.scalars(select(Site.id).where(Site.merchant_id == merchant_id)))


def funnel_of_merchant(session: Session, merchant_id: str, since: int) -> Funnel:
    """Return the sums of all items of a merchant from the day of ``since`` (UTC) on."""
    query = select(*_SUMS).where(
        ItemDay.site_id.in_(sites_of(session, merchant_id)),
        ItemDay.day >= since // SECONDS_PER_DAY,
    )
    return Funnel(*map(int, session.execute(query).one()))


def funnels(session: Session, item_ids: Collection[str], since: int) -> Mapping[str, Funnel]:
    """Return the sums of items from the day of ``since`` (UTC) on, one for each id."""
    query = (
        select(ItemDay.item_id, *_SUMS)
        .where(ItemDay.item_id.in_(item_ids), ItemDay.day >= since // SECONDS_PER_DAY)
        .group_by(ItemDay.item_id)
    )
    found = {row[0]: Funnel(*map(int, row[1:])) for row in session.execute(query)}
    return {item_id: found.get(item_id, Funnel()) for item_id in item_ids}
