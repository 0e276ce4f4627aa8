"""Cursor pagination, newest first: no page shifts while rows are added."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.catalog import Item
from bitcache_server.models.orders import Order, PaymentLink
from bitcache_server.models.payouts import Payout
from bitcache_server.models.sales import Invoice
from bitcache_server.models.sales_book import Sale

#: What is listed; each has ``created_at`` and ``id``.
T = TypeVar("T", AuditEntry, Invoice, Item, Order, PaymentLink, Payout, Sale)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows and the cursor of the next ones; None at the end."""

    rows: Sequence[T]
    next_cursor: str | None


def newest_first(
    session: Session,
    model: type[T],
    conditions: Sequence[ColumnElement[bool]],
    cursor: str | None,
    limit: int,
) -> Page[T]:
    """Return a page of the rows that meet the conditions.

    One row more than ``limit`` is read, to know whether there is another page. Raises
    InvalidRequest for a cursor that was not given out here.
    """
    query = select(model).where(*conditions)
    if cursor:
        query = query.where(tuple_(model.created_at, model.id) < tuple_(*_decode(cursor)))
    query = query.order_by(model.created_at.desc(), model.id.desc()).limit(limit + 1)
    rows = session.scalars(query).all()
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    text = f"{last.created_at}:{last.id}"
    return Page(rows[:limit], base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))


def _decode(cursor: str) -> tuple[int, str]:
    """Return (created_at, id) of the last row of the page before; raise InvalidRequest."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created_at, row_id = base64.urlsafe_b64decode(padded.encode("ascii")).decode().split(":")
        number = int(created_at)
    except (ValueError, binascii.Error):
        raise InvalidRequest("The cursor is not one that this server gave out.") from None
    if not 0 <= number < 2**62 or "\x00" in row_id:
        raise InvalidRequest("The cursor is not one that this server gave out.")
    return number, row_id
