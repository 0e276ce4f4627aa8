"""The number of an order's invoice as a document: one after the other, none left out.

It is given when the document is first asked for, not when the order is paid: then no payment
waits for a merchant's counter, and an order whose payment vanishes leaves no hole.
"""

from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvoiceNotPaid
from bitcache_server.domain.money import MSAT_PER_BTC, SAT, exponent_of
from bitcache_server.models.orders import DocumentCounter, Order
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.services.deps import Deps
from bitcache_server.services.order_sales import lock_order


def with_number(deps: Deps, session: Session, order: Order) -> Order:
    """Return a paid order with its document's number, which it gets now where it has none.

    Opens its own transaction. Raises InvoiceNotPaid.
    """
    if order.document_number is None:
        item_id = order.item_id
        with write_transaction(session):
            order = lock_order(session, item_id)
            _require_paid(order)
            if order.document_number is None:
                _give_number(deps, session, order)
    # It may have a number, and its payment vanished since.
    _require_paid(order)
    return order


def _require_paid(order: Order) -> None:
    if order.paid_at is None:
        raise InvoiceNotPaid("The order is not paid; there is no invoice for it yet.")


def _give_number(deps: Deps, session: Session, order: Order) -> None:
    insert_missing(session, DocumentCounter, merchant_id=order.merchant_id, last_number=0)
    query = select(DocumentCounter).where(DocumentCounter.merchant_id == order.merchant_id)
    counter = session.scalars(
        query.with_for_update().execution_options(populate_existing=True)
    ).one()
    counter.last_number += 1
    order.document_number, order.document_at = counter.last_number, deps.clock()
    session.flush()


def rate_of(order: Order) -> Fraction | None:
    """Return what one bitcoin cost by this sale, in major units: total and msat say it.

    None for an order in sats, and for one that is not paid.
    """
    if order.currency == SAT or not order.paid_msat:
        return None
    major = Fraction(order.total_minor, 10 ** exponent_of(order.currency))
    return major * MSAT_PER_BTC / order.paid_msat
