"""The items of a merchant as a list: search, filter, order, one page at a time."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, case, func, literal, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.money import MSAT_PER_BTC, MSAT_PER_SAT, SAT, exponent_of
from bitcache_server.models.catalog import ORDER_KIND, Item, Site
from bitcache_server.models.operations import StoredRate
from bitcache_server.models.visits import ItemDay
from bitcache_server.services.funnels import Funnel, funnels, sites_of

PAGE_SIZE = 50
MAX_SEARCH_CHARS = 200


class Order(StrEnum):
    """What comes first."""

    NEWEST = "newest"
    TITLE = "title"
    PRICE = "price"
    """The dearest by today's rates."""
    REVENUE = "revenue"
    CONVERSION = "conversion"
    """Paid for each time that the wall was seen."""


@dataclass(frozen=True)
class ItemQuery:
    """What is listed."""

    text: str = ""
    """A part of the title or of the external id."""
    site_id: str = ""
    """Empty for all sites."""
    archived: bool = False
    """Those that are not sold any more, instead of those that are."""
    order: Order = Order.NEWEST
    since: int = 0
    """From when on visits and sales count."""


@dataclass(frozen=True)
class ListedItem:
    """An item, its site, and what became of it in the period."""

    item: Item
    site_name: str
    funnel: Funnel


@dataclass(frozen=True)
class ItemList:
    """A page of items and the cursor of the next one; None at the end."""

    rows: Sequence[ListedItem]
    next_cursor: str | None


def find_items(
    session: Session, merchant_id: str, query: ItemQuery, cursor: str | None
) -> ItemList:
    """Return a page of a merchant's items; raise InvalidRequest for a strange cursor."""
    statement, key = _ordered(session, merchant_id, query)
    if cursor:
        statement = statement.where(_after(query.order, key, *_decode(cursor)))
    descending = query.order is not Order.TITLE
    direction = (key.desc(), Item.id.desc()) if descending else (key.asc(), Item.id.asc())
    found = session.execute(statement.order_by(*direction).limit(PAGE_SIZE + 1)).all()
    shown = found[:PAGE_SIZE]
    sums = funnels(session, [row[0].id for row in shown], query.since)
    rows = [ListedItem(item, site_name, sums[item.id]) for item, site_name, _ in shown]
    if len(found) <= PAGE_SIZE:
        return ItemList(rows, None)
    item, _, value = shown[-1]
    return ItemList(rows, _encode(value, item.id))


def has_items(session: Session, merchant_id: str) -> bool:
    """Say whether a merchant sells or sold anything."""
    query = select(Item.id).where(
        Item.site_id.in_(sites_of(session, merchant_id)), Item.kind != ORDER_KIND
    )
    return session.scalar(query.limit(1)) is not None


def _ordered(
    session: Session, merchant_id: str, query: ItemQuery
) -> tuple[Select[Item, str, Any], ColumnElement[Any]]:
    """Return the query with the value that it is ordered by, and that value."""
    sums = _sums(session, merchant_id, query.since)
    keys: dict[Order, ColumnElement[Any]] = {
        Order.NEWEST: Item.created_at.expression,
        Order.TITLE: func.lower(Item.title),
        Order.PRICE: _price_now(session) if query.order is Order.PRICE else Item.id.expression,
        Order.REVENUE: func.coalesce(sums.c.msat, 0),
        Order.CONVERSION: func.coalesce(
            sums.c.paid * literal(1.0) / func.nullif(sums.c.seen, 0), 0.0
        ),
    }
    key = keys[query.order]
    statement = (
        select(Item, Site.name, key)
        .join(Site, Site.id == Item.site_id)
        .where(*_conditions(merchant_id, query))
    )
    if query.order in (Order.REVENUE, Order.CONVERSION):
        statement = statement.outerjoin(sums, sums.c.item_id == Item.id)
    return statement, key


def _conditions(merchant_id: str, query: ItemQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Site.merchant_id == merchant_id,
        Item.kind != ORDER_KIND,
        Item.archived_at.is_not(None) if query.archived else Item.archived_at.is_(None),
    ]
    if query.site_id:
        conditions.append(Item.site_id == query.site_id)
    text = query.text.strip()[:MAX_SEARCH_CHARS]
    if text:
        conditions.append(
            or_(
                Item.title.icontains(text, autoescape=True),
                Item.external_id.icontains(text, autoescape=True),
                Item.id == text,
            )
        )
    return conditions


def _sums(session: Session, merchant_id: str, since: int) -> Subquery:
    return (
        select(
            ItemDay.item_id,
            func.sum(ItemDay.seen).label("seen"),
            func.sum(ItemDay.paid).label("paid"),
            func.sum(ItemDay.revenue_msat).label("msat"),
        )
        .where(
            ItemDay.site_id.in_(sites_of(session, merchant_id)),
            ItemDay.day >= since // SECONDS_PER_DAY,
        )
        .group_by(ItemDay.item_id)
        .subquery()
    )


def _price_now(session: Session) -> ColumnElement[Any]:
    """Return an item's price in msat by the last rates, near enough to put prices in order."""
    worth: dict[str, float] = {SAT: float(MSAT_PER_SAT)}
    for stored in session.scalars(select(StoredRate)):
        exact = Decimal(MSAT_PER_BTC) / Decimal(stored.price_per_btc)
        worth[stored.currency] = float(exact / 10 ** exponent_of(stored.currency))
    return Item.price_amount * case(worth, value=Item.price_currency, else_=0.0)


def _after(
    order: Order, key: ColumnElement[Any], value: object, item_id: str
) -> ColumnElement[bool]:
    if order is Order.TITLE:
        return or_(key > value, and_(key == value, Item.id > item_id))
    return or_(key < value, and_(key == value, Item.id < item_id))


def _encode(value: object, item_id: str) -> str:
    exact = int(value) if isinstance(value, Decimal) else value
    return base64.urlsafe_b64encode(json.dumps([exact, item_id]).encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[object, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, item_id = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, TypeError, binascii.Error):
        raise InvalidRequest("The cursor is not one that this server gave out.") from None
    if not isinstance(value, str | int | float) or not isinstance(item_id, str):
        raise InvalidRequest("The cursor is not one that this server gave out.")
    return value, item_id
