"""Payouts go out: several in one transaction, stored before it is sent, sent until it is deep.

Every step commits before the next one begins: sign, store, send, note. Whoever dies in
between leaves a stored transaction behind, and the next run sends that very one; a second
one is never made for a payout whose first could still be mined. All functions open their
own transactions, and none waits for the network inside one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import PayoutNotWaiting
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import (
    OPEN_BATCH_STATES,
    UNSEEN_BATCH_STATES,
    BatchState,
    BatchStep,
    PayoutState,
    is_due,
    next_step,
)
from bitcache_server.ledger.payout_recipes import settle_batch
from bitcache_server.models.payouts import Payout, PayoutBatch
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutLookup, PayoutOrder, PreparedPayout, Rail
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_orders import (
    MAX_TEXT_CHARS,
    explain,
    sign_payable,
    waiting_payouts,
)
from bitcache_server.services.payouts import get_payout, reserve_of
from bitcache_server.tokens.secrets import new_id

log = logging.getLogger(__name__)


class _Overtaken(Exception):
    """Another process or person was faster; what was signed here is thrown away unsent."""


def run_payouts(deps: Deps, session: Session, rail: Rail, *, at_once: bool = False) -> int:
    """Bring every transaction of a rail forward, then make the next one if it is due.

    ``at_once`` does not wait for payouts to gather. Returns how many payouts were signed.
    Raises RailError; what was stored before the error stays stored.
    """
    advance_batches(deps, session, rail)
    return make_batch(deps, session, rail, at_once=at_once)


@dataclass(frozen=True)
class _Open:
    """A transaction that is not final, as it was stored when the rail was asked."""

    id: str
    state: str
    detail: str
    prepared: PreparedPayout


def advance_batches(deps: Deps, session: Session, rail: Rail) -> None:
    """Ask about each transaction that is not final; send, settle or give it up."""
    query = (
        select(PayoutBatch)
        .where(PayoutBatch.rail == rail.name, PayoutBatch.state.in_(OPEN_BATCH_STATES))
        .order_by(PayoutBatch.created_at, PayoutBatch.id)
    )
    batches = [_open(row) for row in session.scalars(query)]
    session.rollback()
    for batch in batches:
        found = _of_its_own(session, rail.name, batch, rail.lookup_payout(batch.prepared))
        step = next_step(
            found.outcome,
            found.confirmations,
            deps.settings.payout_confirmations,
            deps.settings.payout_conflict_confirmations,
        )
        if step is BatchStep.SEND:
            _send(deps, session, rail, batch, found.detail)
        elif _is_news(batch, found, step):
            try:
                with write_transaction(session):
                    _note(deps, session, batch, found, step)
            except IntegrityError:
                log.info("rail=%s another batch has %s", rail.name, found.carrier.reference)


def set_aside(deps: Deps, session: Session, payout_id: str) -> None:
    """Let other payouts go before the transaction of this one, which the node refuses.

    Nothing is given up: the money stays reserved, and every run sends that very
    transaction again, since whoever has it can. Only another spend of its coins, deep
    enough, ends it. So should the next transaction take the same coins, one of the two
    is mined at most. Raises UnknownPayout, and PayoutNotWaiting when no transaction
    carries the payout or that one is out.
    """
    session.rollback()
    payout = get_payout(session, payout_id)
    rail = deps.rail(payout.rail)
    advance_batches(deps, session, rail)
    with write_transaction(session):
        payout = get_payout(session, payout_id)
        batch = _lock_batch(session, payout.batch_id) if payout.batch_id else None
        if batch is None or batch.state not in UNSEEN_BATCH_STATES:
            stands = payout.state if batch is None else f"{payout.state}, its transaction is out"
            raise PayoutNotWaiting(f"The payout is {stands}; nothing is in the way of others.")
        batch.state = BatchState.ASIDE.value
        session.flush()


def _of_its_own(session: Session, rail: str, batch: _Open, found: PayoutLookup) -> PayoutLookup:
    """Return the answer; a transaction that pays for another batch cannot pay for this one.

    That happens when a wallet lost track of its coins and spent one twice, to the same
    payee: then it is a conflict like any other.
    """
    living = PayoutBatch.state != BatchState.FAILED
    reference = found.carrier.reference
    if _batch_with(session, rail, reference, living, PayoutBatch.id != batch.id) is None:
        return found
    detail = f"Its coins went to transaction {reference}, which pays others."
    return PayoutLookup(Outcome.FAILED, batch.prepared, found.confirmations, detail)


def _open(row: PayoutBatch) -> _Open:
    prepared = PreparedPayout(row.reference, row.raw, row.amount_msat, row.fee_msat)
    return _Open(row.id, row.state, row.detail, prepared)


def _is_news(batch: _Open, found: PayoutLookup, step: BatchStep) -> bool:
    """Return whether an answer changes anything that is stored."""
    known = (batch.state, batch.prepared, batch.detail)
    carrier = batch.prepared if found.outcome is Outcome.FAILED else found.carrier
    heard = (BatchState.SENT, carrier, found.detail[:MAX_TEXT_CHARS])
    return step is not BatchStep.WAIT or known != heard


def _note(deps: Deps, session: Session, asked: _Open, found: PayoutLookup, step: BatchStep) -> None:
    batch = _lock_batch(session, asked.id)
    if batch.state not in OPEN_BATCH_STATES or batch.reference != asked.prepared.reference:
        return  # Another process noted more than this answer knows.
    batch.detail = found.detail[:MAX_TEXT_CHARS]
    if found.outcome is not Outcome.FAILED:
        batch.reference, batch.raw = found.carrier.reference, found.carrier.raw
        batch.fee_msat = found.carrier.fee_msat
        _mark_sent(batch, deps.clock())
    if step is BatchStep.SETTLE:
        _settle(deps, session, batch)
    elif step is BatchStep.FAIL:
        _fail(deps, session, batch)


def _lock_batch(session: Session, batch_id: str) -> PayoutBatch:
    query = select(PayoutBatch).where(PayoutBatch.id == batch_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _mark_sent(batch: PayoutBatch, now: int) -> None:
    batch.state = BatchState.SENT.value
    batch.sent_at = batch.sent_at or now


def _settle(deps: Deps, session: Session, batch: PayoutBatch) -> None:
    now = deps.clock()
    payouts = _payouts_in(session, batch)
    reserves = [reserve_of(payout) for payout in payouts]
    settle_batch(session, batch.id, batch.rail, reserves, batch.fee_msat, now)
    for payout in payouts:
        payout.state, payout.settled_at, payout.reason = PayoutState.SETTLED.value, now, ""
    batch.state, batch.settled_at = BatchState.SETTLED.value, now
    session.flush()


def _fail(deps: Deps, session: Session, batch: PayoutBatch) -> None:
    """Let the payouts of a transaction that can never be mined wait for another one."""
    for payout in _payouts_in(session, batch):
        payout.state, payout.batch_id = PayoutState.WAITING.value, None
        payout.reason = f"The transaction {batch.reference} failed; another one will be made."
    batch.state, batch.settled_at = BatchState.FAILED.value, deps.clock()
    session.flush()
    log.warning("rail=%s payout transaction %s failed", batch.rail, batch.reference)


def _payouts_in(session: Session, batch: PayoutBatch) -> Sequence[Payout]:
    query = select(Payout).where(Payout.batch_id == batch.id).order_by(Payout.id)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()


def _send(deps: Deps, session: Session, rail: Rail, asked: _Open, detail: str) -> None:
    """Send a stored transaction. If nobody can say whether it went out, the next run asks.

    ``detail`` says why it is not out yet; operators see it.
    """
    out = rail.send_payout(asked.prepared) is not Outcome.UNKNOWN
    known = detail[:MAX_TEXT_CHARS]
    if not out and known == asked.detail:
        return
    with write_transaction(session):
        batch = _lock_batch(session, asked.id)
        if batch.state not in OPEN_BATCH_STATES or batch.reference != asked.prepared.reference:
            return
        if out:
            _mark_sent(batch, deps.clock())
        else:
            batch.detail = known


def make_batch(deps: Deps, session: Session, rail: Rail, *, at_once: bool = False) -> int:
    """Sign one transaction for what waits, store it, send it; return how many it pays.

    While another one is unsent none is made: both would spend the same coins.
    """
    made_before, unsent = _made(session, rail.name)
    waiting = waiting_payouts(session, rail.name, deps.settings.payout_batch_size)
    session.rollback()
    created_ats = [one.created_at for one in waiting]
    limits = (deps.settings.payout_every_s, deps.settings.payout_batch_size)
    if not waiting or unsent or not (at_once or is_due(created_ats, deps.clock(), *limits)):
        return 0
    prepared, paid = sign_payable(deps, session, rail, waiting)
    if prepared is None:
        return 0
    if _batch_with(session, rail.name, prepared.reference) is not None:
        explain(session, paid, f"The wallet made {prepared.reference} again, which pays others.")
        return 0
    batch_id = new_id("pb")
    try:
        with write_transaction(session):
            _store(deps, session, rail.name, batch_id, prepared, paid)
            if _made(session, rail.name)[0] != made_before + 1:
                raise _Overtaken
    except (_Overtaken, IntegrityError):
        log.info("rail=%s another process was faster; nothing was sent", rail.name)
        return 0
    signed = _Open(batch_id, BatchState.SIGNED, "", prepared)
    _send(deps, session, rail, signed, "")
    return len(paid)


def _batch_with(
    session: Session, rail: str, reference: str, *others: ColumnElement[bool]
) -> str | None:
    """Return the batch whose transaction this is, if there is one."""
    query = select(PayoutBatch.id).where(
        PayoutBatch.rail == rail, PayoutBatch.reference == reference, *others
    )
    found = session.scalar(query.limit(1))
    session.rollback()
    return found


def _made(session: Session, rail: str) -> tuple[int, int]:
    """Return how many transactions there ever were, and how many of them are unsent."""
    unsent = func.count().filter(PayoutBatch.state == BatchState.SIGNED)
    row = session.execute(select(func.count(), unsent).where(PayoutBatch.rail == rail)).one()
    return row[0], row[1]


def _store(
    deps: Deps,
    session: Session,
    rail: str,
    batch_id: str,
    prepared: PreparedPayout,
    paid: Sequence[PayoutOrder],
) -> None:
    """Store what was signed; raise _Overtaken when a payout does not wait any more."""
    ids = [order.payout_id for order in paid]
    query = select(Payout).where(Payout.id.in_(ids), Payout.state == PayoutState.WAITING)
    query = query.order_by(Payout.id).with_for_update()
    payouts = session.scalars(query.execution_options(populate_existing=True)).all()
    if len(payouts) != len(paid):
        raise _Overtaken
    batch = PayoutBatch(
        id=batch_id,
        rail=rail,
        reference=prepared.reference,
        raw=prepared.raw,
        amount_msat=prepared.amount_msat,
        fee_msat=prepared.fee_msat,
        state=BatchState.SIGNED.value,
        created_at=deps.clock(),
    )
    session.add(batch)
    for payout in payouts:
        payout.state, payout.batch_id = PayoutState.SENDING.value, batch_id
        payout.reason = ""
    session.flush()
