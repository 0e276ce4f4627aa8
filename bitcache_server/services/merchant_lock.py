"""Who takes money out of a merchant's account asks here first.

Sales only add to the account and lock nothing. A payout and a refund take from it:
each locks the merchant's row, then looks at the balance, so that two of them never
spend the same money. Where several merchants are concerned (co-authors), lock them
in the order of their ids, or two refunds may wait for each other for ever.

A refund may use all of the balance, a payout only what nobody can take back any more.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import MerchantBalanceTooLow, UnknownMerchant
from bitcache_server.domain.money import format_sat
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.payable import proven_msat
from bitcache_server.models.catalog import Merchant
from bitcache_server.services.deps import Deps


def lock_merchant(session: Session, merchant_id: str) -> Merchant:
    """Lock the merchant's row until the caller's write transaction ends, and return it.

    Raises UnknownMerchant.
    """
    query = select(Merchant).where(Merchant.id == merchant_id).with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise UnknownMerchant(f"There is no merchant {merchant_id[:64]!r}.")
    return found


def require_merchant_balance(session: Session, merchant_id: str, amount_msat: int) -> None:
    """Raise MerchantBalanceTooLow unless the account holds the amount. Lock it before."""
    held_msat = balance(session, chart.merchant(merchant_id))
    if held_msat < amount_msat:
        raise MerchantBalanceTooLow(
            f"The merchant's balance is {format_sat(held_msat)}; this takes "
            f"{format_sat(amount_msat)}."
        )


def payable_msat(deps: Deps, session: Session, merchant_id: str) -> int:
    """Return what of the balance can be paid out now, in msat; 0 for who owes.

    Left out are sales that are only seen in the mempool, and what readers bought from
    their balance so lately that they can undo it.
    """
    now, window_s = deps.clock(), deps.settings.undo_window_s
    return max(0, proven_msat(session, merchant_id, now, window_s))


def require_payable(deps: Deps, session: Session, merchant_id: str, amount_msat: int) -> None:
    """Raise MerchantBalanceTooLow unless the amount can be paid out. Lock the account before."""
    held_msat = payable_msat(deps, session, merchant_id)
    if held_msat < amount_msat:
        raise MerchantBalanceTooLow(
            f"Of the merchant's balance {format_sat(held_msat)} can be paid out now; "
            f"this takes {format_sat(amount_msat)}."
        )
