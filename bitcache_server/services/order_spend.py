"""A wallet pays an order: the spend and the order's own row in one transaction.

Everything else that a wallet buys is one statement (``ledger/spend.py``). An order is sold to
one payer among all, so it costs a transaction, and only orders do.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.spend import Outcome, SpendResult, spend_within
from bitcache_server.models.orders import Order
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.order_sales import check_open, order_to_sell, sold


def spend_on_order(deps: Deps, session: Session, wanted: Spend) -> SpendResult:
    """Pay an order from a wallet, once; whoever has paid it is told so again.

    Is a transaction of its own. Raises OrderClosed, and what ``spend`` raises.
    """
    with write_transaction(session):
        query = select(Order).where(Order.item_id == wanted.item_id)
        known = session.scalars(query.execution_options(populate_existing=True)).one()
        if known.paid_by != wanted.wallet_id:
            # Said before it is said that the balance is too small for it.
            check_open(deps, known)
        paid = spend_within(session, wanted)
        if paid.outcome is Outcome.BOOKED:
            order = order_to_sell(deps, session, wanted.item_id)
            if order is not None:
                sold(deps, session, order, wanted.wallet_id, paid.group_id, paid.price_msat)
    return paid
