"""Payouts go out: several in one transaction, stored before it is sent, sent until it is deep.

Every step commits before the next one begins: sign, store, send, note. Whoever dies in
between leaves a stored transaction behind, and the next run sends that very one; a second
one is never made for a payout whose first could still be mined. All functions open their
own transactions, and none waits for the network inside one.
"""

import logging

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import PayoutNotWaiting
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import (
    UNSEEN_BATCH_STATES,
    BatchState,
    BatchStep,
    is_due,
    next_step,
)
from bitcache_server.models.payouts import PayoutBatch
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutLookup, Rail, StreamRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_orders import (
    MAX_TEXT_CHARS,
    explain,
    sign_payable,
    waiting_payouts,
)
from bitcache_server.services.payout_singles import advance_singles, run_single_payouts
from bitcache_server.services.payout_steps import (
    OpenBatch,
    Overtaken,
    batch_with,
    end_failed,
    lock_asked,
    lock_batch,
    mark_sent,
    open_batch,
    open_batches,
    settle,
    store_batch,
)
from bitcache_server.services.payouts import get_payout

log = logging.getLogger(__name__)


def run_payouts(deps: Deps, session: Session, rail: Rail, *, at_once: bool = False) -> int:
    """Bring every transaction of a rail forward, then make the next one if it is due.

    Where each payout is a payment of its own nothing gathers: see ``payout_singles.py``.

    ``at_once`` does not wait for payouts to gather. Returns how many payouts were signed.
    Raises RailError; what was stored before the error stays stored.
    """
    if isinstance(rail, StreamRail):
        return run_single_payouts(deps, session, rail)
    advance_batches(deps, session, rail)
    return make_batch(deps, session, rail, at_once=at_once)


def advance_batches(deps: Deps, session: Session, rail: Rail) -> None:
    """Ask about each transaction that is not final; send, settle or give it up."""
    for batch in open_batches(session, rail.name):
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


def run_open(deps: Deps, session: Session, rail: Rail) -> None:
    """Ask about what is not final, and make nothing new."""
    if isinstance(rail, StreamRail):
        advance_singles(deps, session, rail)
    else:
        advance_batches(deps, session, rail)


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
    run_open(deps, session, rail)
    with write_transaction(session):
        payout = get_payout(session, payout_id)
        batch = lock_batch(session, payout.batch_id) if payout.batch_id else None
        if batch is None or batch.state not in UNSEEN_BATCH_STATES:
            stands = payout.state if batch is None else f"{payout.state}, its transaction is out"
            raise PayoutNotWaiting(f"The payout is {stands}; nothing is in the way of others.")
        batch.state = BatchState.ASIDE.value
        session.flush()


def _of_its_own(session: Session, rail: str, batch: OpenBatch, found: PayoutLookup) -> PayoutLookup:
    """Return the answer; a transaction that pays for another batch cannot pay for this one.

    That happens when a wallet lost track of its coins and spent one twice, to the same
    payee: then it is a conflict like any other.
    """
    living = PayoutBatch.state != BatchState.FAILED
    reference = found.carrier.reference
    if batch_with(session, rail, reference, living, PayoutBatch.id != batch.id) is None:
        return found
    detail = f"Its coins went to transaction {reference}, which pays others."
    return PayoutLookup(Outcome.FAILED, batch.prepared, found.confirmations, detail)


def _is_news(batch: OpenBatch, found: PayoutLookup, step: BatchStep) -> bool:
    """Return whether an answer changes anything that is stored."""
    known = (batch.state, batch.prepared, batch.detail)
    carrier = batch.prepared if found.outcome is Outcome.FAILED else found.carrier
    heard = (BatchState.SENT, carrier, found.detail[:MAX_TEXT_CHARS])
    return step is not BatchStep.WAIT or known != heard


def _note(
    deps: Deps, session: Session, asked: OpenBatch, found: PayoutLookup, step: BatchStep
) -> None:
    batch = lock_asked(session, asked)
    if batch is None:
        return
    batch.detail = found.detail[:MAX_TEXT_CHARS]
    if found.outcome is not Outcome.FAILED:
        batch.reference, batch.raw = found.carrier.reference, found.carrier.raw
        batch.fee_msat = found.carrier.fee_msat
        mark_sent(batch, deps.clock())
    if step is BatchStep.SETTLE:
        settle(deps, session, batch)
    elif step is BatchStep.FAIL:
        # A transaction that can never be mined: its payouts wait for another one.
        for payout in end_failed(deps, session, batch):
            payout.reason = f"The transaction {batch.reference} failed; another one will be made."


def _send(deps: Deps, session: Session, rail: Rail, asked: OpenBatch, detail: str) -> None:
    """Send a stored transaction. If nobody can say whether it went out, the next run asks.

    ``detail`` says why it is not out yet; operators see it.
    """
    out = rail.send_payout(asked.prepared) is not Outcome.UNKNOWN
    known = detail[:MAX_TEXT_CHARS]
    if not out and known == asked.detail:
        return
    with write_transaction(session):
        batch = lock_asked(session, asked)
        if batch is None:
            return
        if out:
            mark_sent(batch, deps.clock())
        else:
            batch.detail = known


def make_batch(deps: Deps, session: Session, rail: Rail, *, at_once: bool = False) -> int:
    """Sign one transaction for what waits, store it, send it; return how many it pays.

    While another one is unsent none is made: both would spend the same coins.
    """
    made_before, unsent = _made(session, rail.name)
    waiting = waiting_payouts(session, rail.name, deps.settings.payout_batch_size, deps.clock())
    session.rollback()
    created_ats = [one.created_at for one in waiting]
    limits = (deps.settings.payout_every_s, deps.settings.payout_batch_size)
    if not waiting or unsent or not (at_once or is_due(created_ats, deps.clock(), *limits)):
        return 0
    prepared, paid = sign_payable(deps, session, rail, waiting)
    if prepared is None:
        return 0
    if batch_with(session, rail.name, prepared.reference) is not None:
        explain(session, paid, f"The wallet made {prepared.reference} again, which pays others.")
        return 0
    try:
        with write_transaction(session):
            signed = open_batch(store_batch(deps, session, rail.name, prepared, paid))
            if _made(session, rail.name)[0] != made_before + 1:
                raise Overtaken
    except (Overtaken, IntegrityError):
        log.info("rail=%s another process was faster; nothing was sent", rail.name)
        return 0
    _send(deps, session, rail, signed, "")
    return len(paid)


def _made(session: Session, rail: str) -> tuple[int, int]:
    """Return how many transactions there ever were, and how many of them are unsent."""
    unsent = func.count().filter(PayoutBatch.state == BatchState.SIGNED)
    row = session.execute(select(func.count(), unsent).where(PayoutBatch.rail == rail)).one()
    return row[0], row[1]
