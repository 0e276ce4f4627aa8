"""Payments that a restored database has lost, as operators tell of them.

A Lightning payment is for one payout. A transaction of a chain may have paid many: each is
booked when people say so, and what the miners took once, with the first.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.payout_state import UNSIGNED_STATES, BatchState, PayoutState
from bitcache_server.models.payouts import Payout, PayoutBatch, PayoutResolution
from bitcache_server.rails.base import StreamRail
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.secrets import new_id


def may_be_lost(payout: Payout) -> bool:
    """Return whether a payment that the database has lost may have paid it."""
    in_doubt = payout.held_at is not None or payout.restored_at is not None
    return in_doubt and payout.state in UNSIGNED_STATES


def lost_batch(
    deps: Deps, session: Session, payout: Payout, reference: str, fee_msat: int
) -> tuple[PayoutBatch, bool]:
    """Return the payment that paid a payout, and whether it is booked for others already.

    A new one is stored and carries the payout. Runs in the caller's write transaction, which
    has locked the payout. Raises InvalidRequest for one that cannot have paid it as well.
    """
    same = (PayoutBatch.rail == payout.rail, PayoutBatch.reference == reference)
    query = select(PayoutBatch).where(*same).order_by(PayoutBatch.id).limit(1).with_for_update()
    known = session.scalar(query.execution_options(populate_existing=True))
    if known is None:
        return _new_batch(deps, session, payout, reference, fee_msat), False
    was_told = not known.raw and session.get(PayoutResolution, known.id) is not None
    if known.sends or not was_told or known.state != BatchState.SETTLED:
        raise InvalidRequest("That payment stands for another payout already.")
    if fee_msat != known.fee_msat:
        raise InvalidRequest(f"The fee of that transaction was said to be {known.fee_msat} msat.")
    return known, True


def _new_batch(
    deps: Deps, session: Session, payout: Payout, reference: str, fee_msat: int
) -> PayoutBatch:
    is_single = isinstance(deps.rail(payout.rail), StreamRail)
    batch = PayoutBatch(
        id=new_id("pb"),
        rail=payout.rail,
        reference=reference,
        raw="",
        amount_msat=payout.amount_msat,
        fee_msat=fee_msat,
        sends=1 if is_single else 0,
        state=BatchState.SENT.value,
        detail="",
        created_at=deps.clock(),
    )
    session.add(batch)
    payout.state, payout.batch_id = PayoutState.SENDING.value, batch.id
    session.flush()
    return batch
