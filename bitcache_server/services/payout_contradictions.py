"""What a node says of payments that operators ended: told to people, never booked.

The node that was gone for good may come back. Its word comes too late for the books, where
the payment stands ended; but somebody must hear that money left that was given back, or the
other way round.
"""

import logging
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import PayoutNotWaiting
from bitcache_server.domain.outcome import Outcome
from bitcache_server.models.payouts import PayoutBatch, PayoutResolution
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PreparedPayout, Rail
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import authenticate
from bitcache_server.services.payouts import lock_payout

log = logging.getLogger(__name__)

#: How often a node is asked about each, and about how many in one pass.
ASK_AGAIN_S = 600
ASKED_AT_ONCE = 3
#: After these the node has said nothing, or not the last word.
_OPEN_WORDS = ("", Outcome.PENDING.value)


def contradicted() -> ColumnElement[bool]:
    """Return what is true of a resolution that a node contradicts, of which nobody took note."""
    booked_msat = (
        select(PayoutBatch.fee_msat)
        .where(PayoutBatch.id == PayoutResolution.batch_id)
        .scalar_subquery()
    )
    went_out = PayoutResolution.node_says.in_((Outcome.SETTLED.value, Outcome.PENDING.value))
    return and_(
        PayoutResolution.seen_at.is_(None),
        or_(
            and_(PayoutResolution.settled.is_(False), went_out),
            and_(PayoutResolution.settled, PayoutResolution.node_says == Outcome.FAILED.value),
            and_(PayoutResolution.settled, PayoutResolution.node_fee_msat != booked_msat),
        ),
    )


def ask_resolved(deps: Deps, session: Session, rail: Rail) -> None:
    """Ask the rail about some payments that operators ended, and store what it says."""
    for batch_id, prepared in _due(deps, session, rail.name):
        found = rail.lookup_payout(prepared)
        says = "" if found.missing or found.outcome is Outcome.UNKNOWN else found.outcome.value
        with write_transaction(session):
            row = session.get_one(PayoutResolution, batch_id, with_for_update=True)
            row.asked_at = deps.clock()
            if says not in ("", row.node_says):
                row.node_says, row.seen_by, row.seen_at = says, None, None
                if found.outcome is Outcome.SETTLED:
                    row.node_fee_msat = found.carrier.fee_msat
                log.warning(
                    "payout=%s was ended as %s; the node says %s",
                    row.payout_id,
                    "settled" if row.settled else "failed",
                    says,
                )


def _due(deps: Deps, session: Session, rail: str) -> Sequence[tuple[str, PreparedPayout]]:
    now = deps.clock()
    query = (
        select(PayoutBatch)
        .join(PayoutResolution, PayoutResolution.batch_id == PayoutBatch.id)
        .where(
            PayoutBatch.rail == rail,
            # Of one that the database had lost there is no invoice to ask about.
            PayoutBatch.raw != "",
            PayoutResolution.node_says.in_(_OPEN_WORDS),
            # A clock that was put back must not keep anybody from asking.
            or_(
                PayoutResolution.asked_at <= now - ASK_AGAIN_S,
                PayoutResolution.asked_at > now,
            ),
        )
        .order_by(PayoutResolution.asked_at, PayoutResolution.batch_id)
        .limit(ASKED_AT_ONCE)
    )
    found = [
        (row.id, PreparedPayout(row.reference, row.raw, row.amount_msat, row.fee_msat))
        for row in session.scalars(query)
    ]
    session.rollback()
    return found


def take_note(deps: Deps, session: Session, payout_id: str, name: str, secret: str) -> None:
    """Let an operator say that they know what the node says, inside the caller's transaction.

    The doctor is silent about it from then on. Raises ApprovalRefused, UnknownPayout, and
    PayoutNotWaiting where no node contradicts.
    """
    authenticate(session, name, secret)
    payout = lock_payout(session, payout_id)
    query = select(PayoutResolution).where(PayoutResolution.payout_id == payout.id, contradicted())
    rows = session.scalars(query.with_for_update()).all()
    if not rows:
        raise PayoutNotWaiting("No node contradicts what was said of this payout.")
    for row in rows:
        row.seen_by, row.seen_at = name, deps.clock()
    session.flush()
