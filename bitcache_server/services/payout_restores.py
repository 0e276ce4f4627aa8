"""After a restored backup: what may have been paid since is held until an operator lets it go.

A database from a backup has forgotten what it sent since. An invoice that waits in it needs
nobody: the node pays a payment hash once, and is asked before the money goes back. An address
would be paid again, over Lightning by another invoice, on-chain by another transaction; a
link could be claimed a second time. And a merchant's balance is that of the backup, so what
was paid out since would be asked for again, by the schedule alone. Nothing in the database
can tell that it is old, so a person says it.
"""

import logging

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import PayoutNotWaiting
from bitcache_server.domain.payout_state import OPEN_STATES
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.payouts import Payout, RestoredMerchant, WithdrawLink
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import authenticate
from bitcache_server.services.payouts import lock_payout

log = logging.getLogger(__name__)


def hold_after_restore(deps: Deps, session: Session) -> int:
    """Hold every open payout that may have been paid since the backup; return how many are held.

    Whatever state it is in: a payment that failed since may have been followed by one that
    did not. What is asked for afterwards is not held, but for merchants; see
    ``hold_for_merchant``. Opens its own transaction.
    """
    session.rollback()
    now = deps.clock()
    with write_transaction(session):
        for merchant_id in session.scalars(select(Merchant.id).order_by(Merchant.id)).all():
            insert_missing(session, RestoredMerchant, merchant_id=merchant_id, restored_at=now)
        query = select(Payout).where(Payout.state.in_(OPEN_STATES)).order_by(Payout.id)
        query = query.with_for_update().execution_options(populate_existing=True)
        links = set(session.scalars(select(WithdrawLink.payout_id)))
        in_doubt = session.scalars(query).all()
        held = [
            payout
            for payout in in_doubt
            if payout.id in links or not looks_like_invoice(payout.destination)
        ]
        for payout in in_doubt:
            payout.restored_at = now
        for payout in held:
            payout.held_at = payout.held_at or now
        session.flush()
    log.warning("the database was said to come from a backup: %s payouts are held", len(held))
    return len(held)


def hold_for_merchant(deps: Deps, session: Session, payout: Payout, merchant_id: str) -> None:
    """Hold a merchant's new payout if they may have been paid since the backup.

    So it goes until an operator releases one of these. Runs in the caller's write
    transaction, which has locked the merchant.
    """
    if session.get(RestoredMerchant, merchant_id, populate_existing=True) is not None:
        payout.held_at = deps.clock()
        session.flush()


def release_payout(deps: Deps, session: Session, payout_id: str, name: str, secret: str) -> Payout:
    """Let a held payout go on; an operator has seen that it was not paid since the backup.

    Runs in the caller's write transaction. Raises ApprovalRefused, UnknownPayout,
    PayoutNotWaiting.
    """
    authenticate(session, name, secret)
    payout = lock_payout(session, payout_id)
    if payout.held_at is None or payout.state not in OPEN_STATES:
        raise PayoutNotWaiting(f"The payout is {payout.state}, and nobody holds it.")
    if payout.restored_at is None:
        # One that was asked for afterwards: the operator knows what this merchant was paid.
        merchant_id = chart.parse(payout.owner_account).key
        session.execute(delete(RestoredMerchant).where(RestoredMerchant.merchant_id == merchant_id))
    payout.held_at, payout.restored_at = None, None
    session.flush()
    log.warning("payout=%s is let go by %s at %s", payout.id, name, deps.clock())
    return payout
