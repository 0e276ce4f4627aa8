"""How many saw the wall, started to pay, and paid, since a day.

Started are those who got an invoice, who paid with one click, and whose balance was too small
for the click. What was given back is not paid. Orders have no wall and are not among it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.visits import ItemDay

#: So many of the items that brought most.
BEST = 5
#: Items that nobody bought although so many saw them, and how many of those are named.
SEEN_OFTEN = 50
MOST_UNSOLD = 3


@dataclass(frozen=True)
class Funnel:
    """Three numbers of one period; the merchant's part of the sales with them."""

    seen: int = 0
    started: int = 0
    paid: int = 0
    revenue_msat: int = 0


@dataclass(frozen=True)
class ItemSum:
    """An item and its sums."""

    item_id: str
    title: str
    sum: Funnel


@dataclass(frozen=True)
class Glance:
    """What there is to say about a merchant's items since a day."""

    whole: Funnel
    best: Sequence[ItemSum]
    """Those that brought most, without what was given back."""
    unsold: Sequence[ItemSum]
    """Those on sale that nobody bought although many saw them, the most seen first."""


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


def glance(session: Session, merchant_id: str, since: int) -> Glance:
    """Return the sums of a merchant's items from the day of ``since`` (UTC) on.

    One query: the days of the items are added up once, whatever is asked about the sums.
    """
    sums = _sums_by_item(sites_of(session, merchant_id), since)
    whole = select(literal("whole"), null(), null(), *_totals(sums))
    best = _items(sums, "best").where(sums.c.paid > 0)
    best = best.order_by(sums.c.revenue_msat.desc(), Item.id).limit(BEST)
    unsold = _items(sums, "unsold").where(
        Item.archived_at.is_(None), sums.c.paid == 0, sums.c.seen >= SEEN_OFTEN
    )
    unsold = unsold.order_by(sums.c.seen.desc(), Item.id).limit(MOST_UNSOLD)
    parts = [whole, *(select(part.subquery()) for part in (best, unsold))]
    found: dict[str, list[ItemSum]] = {"whole": [], "best": [], "unsold": []}
    for kind, item_id, title, *numbers in session.execute(union_all(*parts)):
        funnel = Funnel(*map(int, numbers))
        found[kind].append(ItemSum(item_id or "", title or "", funnel))
    return Glance(
        found["whole"][0].sum,
        # The parts come one after the other, but nothing promises their inner order.
        sorted(found["best"], key=lambda one: (-one.sum.revenue_msat, one.item_id)),
        sorted(found["unsold"], key=lambda one: (-one.sum.seen, one.item_id)),
    )


def funnels(session: Session, item_ids: Collection[str], since: int) -> Mapping[str, Funnel]:
    """Return the sums of items from the day of ``since`` (UTC) on, one for each id."""
    query = (
        select(ItemDay.item_id, *_SUMS)
        .where(ItemDay.item_id.in_(item_ids), ItemDay.day >= since // SECONDS_PER_DAY)
        .group_by(ItemDay.item_id)
    )
    found = {row[0]: Funnel(*map(int, row[1:])) for row in session.execute(query)}
    return {item_id: found.get(item_id, Funnel()) for item_id in item_ids}


def _sums_by_item(site_ids: Sequence[str], since: int) -> CTE:
    names = ("seen", "started", "paid", "revenue_msat")
    columns = [column.label(name) for name, column in zip(names, _SUMS, strict=True)]
    query = select(ItemDay.item_id, *columns).where(
        ItemDay.site_id.in_(site_ids), ItemDay.day >= since // SECONDS_PER_DAY
    )
    return query.group_by(ItemDay.item_id).cte("sums")


def _totals(sums: CTE) -> list[ColumnElement[int]]:
    columns = (sums.c.seen, sums.c.started, sums.c.paid, sums.c.revenue_msat)
    return [func.coalesce(func.sum(column), 0) for column in columns]


def _items(sums: CTE, kind: str) -> Select[Any]:
    columns = (sums.c.seen, sums.c.started, sums.c.paid, sums.c.revenue_msat)
    query = select(literal(kind).label("kind"), Item.id, Item.title, *columns)
    return query.join(sums, sums.c.item_id == Item.id)
