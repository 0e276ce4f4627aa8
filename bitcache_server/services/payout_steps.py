"""What is stored of the transactions that carry payouts: each step in one transaction.

A step looks at what is stored now, under a lock, and does nothing where another process
was faster. Nothing here asks a rail.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from bitcache_server.domain.payout_state import OPEN_BATCH_STATES, BatchState, PayoutState
from bitcache_server.ledger.payout_recipes import pay_out, settle_batch
from bitcache_server.models.payouts import Payout, PayoutBatch
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_events import tell_of_payout
from bitcache_server.services.payout_orders import may_go
from bitcache_server.services.payouts import reserve_of
from bitcache_server.tokens.secrets import new_id

log = logging.getLogger(__name__)


class Overtaken(Exception):
    """Another process or person was faster; what was signed here is thrown away unsent."""


@dataclass(frozen=True)
class OpenBatch:
    """A transaction that is not final, as it was stored when the rail was asked."""

    id: str
    rail: str
    state: str
    detail: str
    prepared: PreparedPayout
    sends: int = 0
    sent_at: int | None = None
    """When the rail first said that it is out; None before."""
    created_at: int = 0
    sending_since: int | None = None


def open_batches(session: Session, rail: str) -> list[OpenBatch]:
    """Return the transactions of a rail that are not final, oldest first."""
    query = (
        select(PayoutBatch)
        .where(PayoutBatch.rail == rail, PayoutBatch.state.in_(OPEN_BATCH_STATES))
        .order_by(PayoutBatch.created_at, PayoutBatch.id)
    )
    found = [open_batch(row) for row in session.scalars(query)]
    session.rollback()
    return found


def open_batch(row: PayoutBatch) -> OpenBatch:
    """Return a transaction apart from the session."""
    prepared = PreparedPayout(row.reference, row.raw, row.amount_msat, row.fee_msat)
    return OpenBatch(
        row.id,
        row.rail,
        row.state,
        row.detail,
        prepared,
        row.sends,
        row.sent_at,
        row.created_at,
        row.sending_since,
    )


def lock_batch(session: Session, batch_id: str) -> PayoutBatch:
    """Lock a transaction's row until the caller's write transaction ends."""
    query = select(PayoutBatch).where(PayoutBatch.id == batch_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def lock_asked(session: Session, asked: OpenBatch) -> PayoutBatch | None:
    """Lock it; return None when another process noted more than our answer knows."""
    batch = lock_batch(session, asked.id)
    same = batch.reference == asked.prepared.reference
    return batch if same and batch.state in OPEN_BATCH_STATES else None


def batch_with(
    session: Session, rail: str, reference: str, *others: ColumnElement[bool]
) -> str | None:
    """Return the batch whose transaction this is, if there is one."""
    query = select(PayoutBatch.id).where(
        PayoutBatch.rail == rail, PayoutBatch.reference == reference, *others
    )
    found = session.scalar(query.limit(1))
    session.rollback()
    return found


def store_batch(
    deps: Deps,
    session: Session,
    rail: str,
    prepared: PreparedPayout,
    paid: Sequence[PayoutOrder],
    state: BatchState = BatchState.SIGNED,
) -> PayoutBatch:
    """Store what was signed; raise Overtaken when a payout does not wait any more."""
    ids = [order.payout_id for order in paid]
    query = select(Payout).where(Payout.id.in_(ids), *may_go())
    query = query.order_by(Payout.id).with_for_update()
    payouts = session.scalars(query.execution_options(populate_existing=True)).all()
    asked_for = {(order.payout_id, order.destination) for order in paid}
    if {(payout.id, payout.destination) for payout in payouts} != asked_for:
        raise Overtaken
    batch = PayoutBatch(
        id=new_id("pb"),
        rail=rail,
        reference=prepared.reference,
        raw=prepared.raw,
        amount_msat=prepared.amount_msat,
        fee_msat=prepared.fee_msat,
        state=state.value,
        detail="",
        sends=0,
        created_at=deps.clock(),
    )
    session.add(batch)
    for payout in payouts:
        payout.state, payout.batch_id = PayoutState.SENDING.value, batch.id
        payout.reason = ""
    session.flush()
    return batch


def mark_sent(batch: PayoutBatch, now: int) -> None:
    """Store that a transaction is out."""
    batch.state = BatchState.SENT.value
    batch.sent_at = batch.sent_at or now


def settle(deps: Deps, session: Session, batch: PayoutBatch) -> None:
    """Book that a transaction is final, with what the network took.

    Where each payout is a payment of its own, and so counted when it is sent, the owner gets
    back what was put aside and not used; a fee above that is the operator's.
    """
    now = deps.clock()
    payouts = payouts_in(session, batch)
    for payout in payouts:
        if batch.sends:
            payout.fee_returned_msat = max(0, payout.fee_msat - batch.fee_msat)
            _warn_above(batch, payout)
        payout.state, payout.settled_at, payout.reason = PayoutState.SETTLED.value, now, ""
    reserves = [
        replace(reserve_of(payout), returned_msat=payout.fee_returned_msat) for payout in payouts
    ]
    settle_batch(session, batch.id, batch.rail, reserves, batch.fee_msat, now)
    batch.state, batch.settled_at = BatchState.SETTLED.value, now
    session.flush()
    for payout in payouts:
        tell_of_payout(deps, session, payout, "payout.sent", batch.reference)


def settle_with(deps: Deps, session: Session, batch: PayoutBatch, payout: Payout) -> None:
    """Book one more payout that a settled transaction paid; what the network took is booked."""
    payout.state, payout.batch_id = PayoutState.SETTLED.value, batch.id
    payout.settled_at, payout.reason = deps.clock(), ""
    batch.amount_msat += payout.amount_msat
    pay_out(session, reserve_of(payout), batch.rail, deps.clock())
    session.flush()
    tell_of_payout(deps, session, payout, "payout.sent", batch.reference)


def _warn_above(batch: PayoutBatch, payout: Payout) -> None:
    above_msat = batch.fee_msat - payout.fee_msat
    if above_msat > 0:
        batch.detail = f"The fee was {above_msat} msat above the reserve; the operator bears it."
        log.warning("payout=%s cost %s msat more than its reserve", payout.id, above_msat)


def end_failed(deps: Deps, session: Session, batch: PayoutBatch) -> Sequence[Payout]:
    """Store that a transaction will never pay; return its payouts, for which comes what may."""
    payouts = payouts_in(session, batch)
    for payout in payouts:
        payout.state, payout.batch_id = PayoutState.WAITING.value, None
    batch.state, batch.settled_at = BatchState.FAILED.value, deps.clock()
    session.flush()
    log.warning("rail=%s payout transaction %s failed", batch.rail, batch.reference)
    return payouts


def payouts_in(session: Session, batch: PayoutBatch) -> Sequence[Payout]:
    """Lock and return the payouts that a transaction carries."""
    query = select(Payout).where(Payout.batch_id == batch.id).order_by(Payout.id)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
