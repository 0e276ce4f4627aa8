"""An order is sold once: what the sale of an order's item asks and leaves behind.

Called in the transaction that books or takes back a sale, by whoever does that. The row of
the order is locked last, after the invoice or the wallet that pays and after the merchants,
so that nobody waits for anybody in a circle.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import OrderClosed
from bitcache_server.domain.order_state import OrderState
from bitcache_server.models.catalog import ORDER_KIND, Item
from bitcache_server.models.orders import Order, OrderInvoice
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_events import emit

_WHY = {
    OrderState.PAID: "This order has been paid already.",
    OrderState.CANCELLED: "This order was cancelled.",
    OrderState.EXPIRED: "The time to pay this order is over.",
    OrderState.REFUNDED: "This order was paid and given back.",
}


def begin_invoice(deps: Deps, session: Session, item: Item, invoice: Invoice) -> None:
    """Let an invoice be one of the item's order: it ends with the order at the latest.

    Raises OrderClosed for an order that takes no more invoices.
    """
    query = select(Order).where(Order.item_id == item.id)
    order = session.scalars(query.execution_options(populate_existing=True)).one()
    check_open(deps, order)
    invoice.expires_at = min(invoice.expires_at, order.expires_at)
    session.add(OrderInvoice(order_id=order.id, invoice_id=invoice.id))


def check_open(deps: Deps, order: Order) -> None:
    """Raise OrderClosed unless the order can be paid now."""
    if order.state == OrderState.OPEN and deps.clock() >= order.expires_at:
        raise OrderClosed(_WHY[OrderState.EXPIRED])
    if order.state != OrderState.OPEN:
        raise OrderClosed(_WHY[OrderState(order.state)])


def order_to_sell(
    deps: Deps, session: Session, item_id: str, *, in_time: bool = False
) -> Order | None:
    """Return the order that an item stands for, locked; None for every other item.

    The caller sells it then. ``in_time`` is for money that came while it could be paid, even
    where that is only seen now. Raises OrderClosed for one that must not be sold.
    """
    if session.get_one(Item, item_id).kind != ORDER_KIND:
        return None
    order = lock_order(session, item_id)
    if not (in_time and order.state in (OrderState.OPEN, OrderState.EXPIRED)):
        check_open(deps, order)
    return order


def lock_order(session: Session, item_id: str) -> Order:
    """Lock the order of an item until the transaction ends, and return it as it is now."""
    query = select(Order).where(Order.item_id == item_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def sold(
    deps: Deps, session: Session, order: Order, owner_id: str, group_id: str, amount_msat: int
) -> None:
    """Write down that an invoice or a wallet has paid the order, and say so."""
    order.state = OrderState.PAID
    order.paid_at, order.closed_at = deps.clock(), None
    order.paid_by, order.paid_group, order.paid_msat = owner_id, group_id, amount_msat
    tell(deps, session, order, "order.paid")


def unsold(deps: Deps, session: Session, item_id: str, group_id: str) -> None:
    """Open the order again whose payment vanished; does nothing for every other item."""
    order = _paid_order(session, item_id, group_id)
    if order is not None:
        order.state = OrderState.OPEN
        order.paid_at = order.paid_by = order.paid_group = order.paid_msat = None
        tell(deps, session, order, "order.reopened")


def given_back(deps: Deps, session: Session, item_id: str, group_id: str) -> None:
    """Write down that the order's price was given back; does nothing for every other item."""
    order = _paid_order(session, item_id, group_id)
    if order is not None:
        order.state, order.closed_at = OrderState.REFUNDED, deps.clock()
        tell(deps, session, order, "order.refunded")


def is_order(session: Session, item_id: str) -> bool:
    """Say whether an item stands for an order."""
    return session.get_one(Item, item_id).kind == ORDER_KIND


def _paid_order(session: Session, item_id: str, group_id: str) -> Order | None:
    if not is_order(session, item_id):
        return None
    order = lock_order(session, item_id)
    paid = order.state == OrderState.PAID and order.paid_group == group_id
    return order if paid else None


def tell(deps: Deps, session: Session, order: Order, event_type: str) -> None:
    """Put an event about the order into the outbox."""
    data = {
        "order": order.id,
        "site": order.site_id,
        "item": order.item_id,
        "reference": order.reference,
        "state": str(order.state),
        "currency": order.currency,
        "total_minor": order.total_minor,
        "amount_msat": order.paid_msat,
        "paid_at": order.paid_at,
    }
    emit(deps, session, order.merchant_id, event_type, data)
