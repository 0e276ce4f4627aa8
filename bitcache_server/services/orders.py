"""Orders of shops: make one, find it, list them, cancel one, let them expire."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    IdempotencyConflict,
    InvalidRequest,
    OrderClosed,
    UnknownOrder,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.order_state import OrderState
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import ORDER_KIND, Item, Site
from bitcache_server.models.orders import Order, OrderInvoice
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.once import call_hash
from bitcache_server.services.order_lines import Line, check_lines, to_json, total_of
from bitcache_server.services.order_sales import lock_order, tell
from bitcache_server.services.order_taxes import with_site_tax
from bitcache_server.services.paging import Page, newest_first
from bitcache_server.services.quotes import quote
from bitcache_server.services.return_urls import check_return_url
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.secrets import new_id

MAX_REFERENCE_CHARS = 100
MAX_METADATA_KEYS = 20
MAX_METADATA_KEY_CHARS = 40
MAX_METADATA_CHARS = 500
MIN_LIFETIME_S = 60
MAX_LIFETIME_S = 31_536_000
EXPIRE_CHUNK = 200


@dataclass(frozen=True)
class NewOrder:
    """What a shop says about an order. Amounts are minor units, or sats."""

    reference: str
    currency: str
    lines: Sequence[Line]
    total_minor: int | None = None
    """What the shop makes of the lines; refused where it is not their sum."""
    customer_ref: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    return_url: str | None = None
    cancel_url: str | None = None
    lifetime_s: int | None = None
    """How long it can be paid; None is the operator's setting."""
    link_id: str | None = None


def create_order(deps: Deps, session: Session, site: Site, new: NewOrder) -> Order:
    """Add an order, or return the one with this reference where it is the same.

    Runs inside the caller's transaction. Raises IdempotencyConflict for a reference that
    was used for something else, ReturnUrlRefused, InvalidRequest, InvalidPrice,
    UnknownCurrency.
    """
    new = _checked(deps, session, site, new)
    content_hash = _content_hash(new)
    # Of two calls at once the second waits here and then finds the order of the first.
    session.execute(select(Site.id).where(Site.id == site.id).with_for_update(key_share=True))
    known = _same_reference(session, site.id, new.reference)
    if known is not None:
        if known.content_hash != content_hash:
            raise IdempotencyConflict(
                _("The order “%(reference)s” exists and has another content."),
                reference=new.reference,
            )
        return known
    lines = with_site_tax(session, site.id, new.lines, deps.clock())
    order = _new_order(deps, site, replace(new, lines=lines), content_hash)
    session.add(_item_of(deps, order, new.lines))
    session.flush()
    session.add(order)
    session.flush()
    tell(deps, session, order, "order.created")
    return order


def _checked(deps: Deps, session: Session, site: Site, new: NewOrder) -> NewOrder:
    lines = check_lines(new.lines)
    total_minor = total_of(lines, new.currency)
    if new.total_minor not in (None, total_minor):
        raise InvalidRequest(
            f"The lines come to {total_minor} minor units, and the total says {new.total_minor}."
        )
    priced = quote(deps, session, new.currency, total_minor)
    if priced.rate is not None:
        priced.must()
    lifetime_s = deps.settings.order_lifetime_s if new.lifetime_s is None else new.lifetime_s
    if not MIN_LIFETIME_S <= lifetime_s <= MAX_LIFETIME_S:
        raise InvalidRequest(f"An order lives {MIN_LIFETIME_S} to {MAX_LIFETIME_S} seconds.")
    return NewOrder(
        reference=check_name(new.reference, _("The reference"), MAX_REFERENCE_CHARS),
        currency=new.currency,
        lines=lines,
        total_minor=total_minor,
        customer_ref=new.customer_ref and check_name(new.customer_ref, _("The customer")),
        metadata=_metadata(new.metadata),
        return_url=new.return_url and check_return_url(session, site.id, new.return_url),
        cancel_url=new.cancel_url and check_return_url(session, site.id, new.cancel_url),
        lifetime_s=lifetime_s,
        link_id=new.link_id,
    )


def _metadata(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MAX_METADATA_KEYS:
        raise InvalidRequest(f"There are more than {MAX_METADATA_KEYS} names in the metadata.")
    checked = {}
    for name, value in given.items():
        key = check_name(name, "A name in the metadata", MAX_METADATA_KEY_CHARS)
        # An empty value is one: the name alone says something.
        checked[key] = value and check_name(value, "A value in the metadata", MAX_METADATA_CHARS)
    return checked


def _content_hash(new: NewOrder) -> str:
    return call_hash(
        [
            new.currency,
            to_json(new.lines),
            new.customer_ref,
            dict(new.metadata),
            new.return_url,
            new.cancel_url,
        ]
    )


def _new_order(deps: Deps, site: Site, new: NewOrder, content_hash: str) -> Order:
    now = deps.clock()
    return Order(
        id=new_id("or"),
        site_id=site.id,
        merchant_id=site.merchant_id,
        item_id=new_id("it"),
        reference=new.reference,
        currency=new.currency,
        total_minor=new.total_minor or 0,
        lines=to_json(new.lines),
        customer_ref=new.customer_ref,
        extra=json.dumps(dict(new.metadata), ensure_ascii=False),
        return_url=new.return_url,
        cancel_url=new.cancel_url,
        link_id=new.link_id,
        content_hash=content_hash,
        state=OrderState.OPEN,
        created_at=now,
        expires_at=now + (new.lifetime_s or 0),
    )


def _item_of(deps: Deps, order: Order, lines: Sequence[Line]) -> Item:
    """Return what the order's invoices sell: it opens nothing, and costs the total."""
    return Item(
        id=order.item_id,
        site_id=order.site_id,
        kind=ORDER_KIND,
        title=lines[0].title if len(lines) == 1 else f"Order {order.reference}",
        teaser="",
        price_currency=order.currency,
        price_amount=order.total_minor,
        url=order_url(deps, order),
        created_at=order.created_at,
    )


def order_url(deps: Deps, order: Order) -> str:
    """Return the page where the order is paid."""
    return f"{deps.settings.public_url}/pay/orders/{order.id}"


def _same_reference(session: Session, site_id: str, reference: str) -> Order | None:
    query = select(Order).where(Order.site_id == site_id, Order.reference == reference)
    return session.scalar(query)


def get_order(session: Session, order_id: str, *conditions: ColumnElement[bool]) -> Order:
    """Return an order that meets the conditions; raise UnknownOrder for every other.

    Who asks is in the conditions (``Order.site_id == …``): others' orders are unknown.
    """
    order = session.scalar(select(Order).where(Order.id == order_id, *conditions))
    if order is None:
        raise UnknownOrder(f"There is no order {order_id[:64]!r}.")
    return order


def order_of_item(session: Session, item_id: str) -> Order:
    """Return the order that an item stands for; raise UnknownOrder."""
    order = session.scalar(select(Order).where(Order.item_id == item_id))
    if order is None:
        raise UnknownOrder()
    return order


def list_orders(
    session: Session,
    owner: ColumnElement[bool],
    cursor: str | None,
    limit: int,
    *,
    state: OrderState | None = None,
    reference: str = "",
) -> Page[Order]:
    """Return orders newest first: in a state, or with a reference that begins so."""
    conditions = [owner]
    if state is not None:
        conditions.append(Order.state == state.value)
    if reference:
        conditions.append(Order.reference.startswith(reference, autoescape=True))
    return newest_first(session, Order, conditions, cursor, limit)


def invoices_of(session: Session, order_id: str) -> Sequence[Invoice]:
    """Return the invoices that were made for an order, oldest first."""
    query = select(Invoice).join(OrderInvoice, OrderInvoice.invoice_id == Invoice.id)
    query = query.where(OrderInvoice.order_id == order_id)
    return session.scalars(query.order_by(Invoice.created_at, Invoice.id)).all()


def cancel_order(deps: Deps, session: Session, order: Order) -> Order:
    """Take no more money for an order; what is on its way becomes its payer's credit.

    Runs inside the caller's transaction. A second call changes nothing. Raises OrderClosed
    for an order that is paid, over or given back.
    """
    locked = lock_order(session, order.item_id)
    if locked.state == OrderState.CANCELLED:
        return locked
    if locked.state != OrderState.OPEN:
        raise OrderClosed(_("The order is paid or over: it cannot be cancelled any more."))
    locked.state, locked.closed_at = OrderState.CANCELLED, deps.clock()
    session.flush()
    tell(deps, session, locked, "order.cancelled")
    return locked


def expire_orders(deps: Deps, session: Session) -> int:
    """Close the orders whose time is over and for which no money is on its way; return how many.

    Opens its own transactions. An order waits for its invoices: who paid in time has paid.
    """
    grace_ended_at = deps.clock() - deps.settings.late_grace_s
    waiting = exists().where(
        OrderInvoice.order_id == Order.id,
        OrderInvoice.invoice_id == Invoice.id,
        Invoice.state.in_((InvoiceState.OPEN, InvoiceState.SEEN)),
    )
    due = (Order.state == OrderState.OPEN, Order.expires_at < grace_ended_at, ~waiting)
    query = select(Order.id).where(*due).order_by(Order.expires_at).limit(EXPIRE_CHUNK)
    expired = 0
    while ids := session.scalars(query).all():
        session.rollback()
        for order_id in ids:
            with write_transaction(session):
                expired += _expire(deps, session, order_id, due)
    session.rollback()
    return expired


def _expire(
    deps: Deps, session: Session, order_id: str, due: tuple[ColumnElement[bool], ...]
) -> bool:
    query = select(Order).where(Order.id == order_id, *due).with_for_update(of=Order)
    order = session.scalar(query.execution_options(populate_existing=True))
    if order is None:
        return False
    order.state, order.closed_at = OrderState.EXPIRED, deps.clock()
    session.flush()
    tell(deps, session, order, "order.expired")
    return True
