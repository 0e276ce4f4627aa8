"""After a restored backup: what may have been paid since is held until an operator lets it go.

A database from a backup has forgotten what it sent since. An invoice that waits in it is safe,
because the node pays a payment hash once. An address is not: it would be paid again, over
Lightning by another invoice, on-chain by another transaction. Nor is a link, which could be
claimed a second time. Nothing in the database can tell that it is old, so a person says it.
"""

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import PayoutNotWaiting
from bitcache_server.domain.payout_state import OPEN_STATES
from bitcache_server.models.payouts import Payout, WithdrawLink
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import authenticate
from bitcache_server.services.payouts import lock_payout

log = logging.getLogger(__name__)


def hold_after_restore(deps: Deps, session: Session) -> int:
    """Hold every open payout that may have been paid since the backup; return how many are held.

    Whatever state it is in: a payment that failed since may have been followed by one that
    did not. What is asked for afterwards is not held. Opens its own transaction.
    """
    session.rollback()
    with write_transaction(session):
        query = select(Payout).where(Payout.state.in_(OPEN_STATES)).order_by(Payout.id)
        query = query.with_for_update().execution_options(populate_existing=True)
        links = set(session.scalars(select(WithdrawLink.payout_id)))
        held = [
            payout
            for payout in session.scalars(query)
            if payout.id in links or not looks_like_invoice(payout.destination)
        ]
        for payout in held:
            payout.held_at = payout.held_at or deps.clock()
        session.flush()
    log.warning("the database was said to come from a backup: %s payouts are held", len(held))
    return len(held)


def release_payout(deps: Deps, session: Session, payout_id: str, name: str, secret: str) -> Payout:
    """Let a held payout go on; an operator has seen that it was not paid since the backup.

    Runs in the caller's write transaction. Raises ApprovalRefused, UnknownPayout,
    PayoutNotWaiting.
    """
    authenticate(session, name, secret)
    payout = lock_payout(session, payout_id)
    if payout.held_at is None or payout.state not in OPEN_STATES:
        raise PayoutNotWaiting(f"The payout is {payout.state}, and nobody holds it.")
    payout.held_at = None
    session.flush()
    log.warning("payout=%s is let go by %s at %s", payout.id, name, deps.clock())
    return payout
