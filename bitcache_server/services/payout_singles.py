"""Payouts that are payments of their own (Lightning): stored first, then sent, then asked about.

Two things differ from transactions of a chain. A node would make a payment that failed
again, so nothing may reach it once the failure was booked: an invoice belongs to one payout
for ever, each sending is announced in the database beforehand, and a failure only counts
while no other sending can be on its way. And what nobody can tell stays reserved, for ever
if need be: only the node's clear word frees it, or two operators where there is no node any
more (``payout_resolutions.py``). All functions open their own transactions; none waits for
the network inside one.
"""

import logging
from collections import defaultdict
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressInvalid,
    PayoutLimit,
    PayoutsUnavailable,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import BatchState, PayoutState
from bitcache_server.models.payouts import PayoutBatch
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutLookup, PayoutOrder, PreparedPayout, Rail
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_contradictions import ask_resolved
from bitcache_server.services.payout_failures import after_failure
from bitcache_server.services.payout_orders import (
    MAX_TEXT_CHARS,
    covered_orders,
    explain,
    waiting_payouts,
)
from bitcache_server.services.payout_slots import why_no_slot
from bitcache_server.services.payout_steps import (
    OpenBatch,
    Overtaken,
    batch_with,
    end_failed,
    lock_asked,
    mark_sent,
    open_batch,
    open_batches,
    settle,
    store_batch,
)
from bitcache_server.services.payout_witness import lookup_unsent, testified
from bitcache_server.services.payouts import lock_payout

log = logging.getLogger(__name__)

#: No call to a node takes so long: an announced one without an answer has ended by then.
SENDING_S = 300
#: An announced call is made at once, or not at all: a process that was paused in between
#: must not pay what others booked as failed meanwhile.
CALL_WITHIN_S = 60
#: Addresses that may give nothing in one pass; each can take ten seconds, and what was
#: claimed meanwhile waits for the end of the pass.
MOST_IN_VAIN = 3
#: What is told of a payment that the node had under way and does not know any more.
_FORGOTTEN = "The node had this payment under way and does not know it now: was it replaced?"


def run_single_payouts(deps: Deps, session: Session, rail: Rail) -> int:
    """Ask about every payment under way, then make one for each payout that waits.

    Invoices go first: an address is a stranger's server, which may let us wait as long as we
    do. So who has asked for one that gave nothing has the next of theirs asked in the next
    pass, and after a few that gave nothing everybody has. What finds no slot waits. Returns
    how many were sent. Raises RailError; what was stored before stays stored.
    """
    advance_singles(deps, session, rail)
    ask_resolved(deps, session, rail)
    waiting = waiting_payouts(session, rail.name, deps.settings.payout_batch_size, deps.clock())
    session.rollback()
    owners = {one.order.payout_id: one.owner_account for one in waiting}
    sent, in_vain, later = 0, 0, set[str]()
    no_slot = defaultdict[str, list[PayoutOrder]](list)
    for one in sorted(covered_orders(deps, session, waiting), key=_asks_an_address):
        owner = owners[one.payout_id]
        if _asks_an_address(one) and (owner in later or in_vain >= MOST_IN_VAIN):
            continue
        why = why_no_slot(deps, session, owner, rail.name, one.amount_msat)
        session.rollback()
        if why:
            no_slot[why].append(one)
        elif _pay(deps, session, rail, one):
            sent += 1
        else:
            later.add(owner)
            in_vain += _asks_an_address(one)
    for why, those in no_slot.items():
        explain(session, those, why)
    return sent


def _asks_an_address(order: PayoutOrder) -> bool:
    return not looks_like_invoice(order.destination)


def advance_singles(deps: Deps, session: Session, rail: Rail) -> None:
    """Ask about each payment that is not final; send what the node never heard of."""
    for batch in open_batches(session, rail.name):
        found = _ask(deps, session, rail, batch)
        is_unsent = found.missing and found.outcome is Outcome.UNKNOWN and _pays(rail)
        announced = _announce(deps, session, batch) if is_unsent else None
        if announced is not None:
            _send(deps, session, rail, announced)


def _pays(rail: Rail) -> bool:
    return rail.payouts_together == 1


def _pay(deps: Deps, session: Session, rail: Rail, order: PayoutOrder) -> bool:
    """Prepare, store, send and ask about one payment; return whether it was sent."""
    try:
        prepared = rail.prepare_payout([order])
    except AddressInvalid as error:
        _give_up_unpaid(deps, session, rail, order, error.detail)
        return False
    except (PayoutLimit, PayoutsUnavailable) as error:
        explain(session, [order], error.detail)
        return False
    except RailError as error:
        explain(session, [order], error.detail)
        raise
    if batch_with(session, rail.name, prepared.reference) is not None:
        _give_up(deps, session, order, "That invoice was tried before; it takes a new one.")
        return False
    stored = _store(deps, session, rail, order, prepared)
    if stored is not None:
        _send(deps, session, rail, stored)
    return stored is not None


def _give_up_unpaid(
    deps: Deps, session: Session, rail: Rail, order: PayoutOrder, words: str
) -> None:
    """Give up what cannot be paid any more, unless it was paid by what we have forgotten.

    A database from a backup does not know; the node does. A payment that it has is stored
    as if it were sent now, and ends as any other.
    """
    found = lookup_unsent(deps, session, rail, order)
    if found is None or found.missing or _is_taken(session, rail, found):
        _give_up(deps, session, order, words)
    elif found.outcome is Outcome.UNKNOWN:
        explain(session, [order], f"{words} {found.detail}")
    else:
        carrier = replace(found.carrier, fee_msat=order.max_fee_msat or 0)
        stored = _store(deps, session, rail, order, carrier)
        if stored is not None:
            _ask(deps, session, rail, stored)


def _is_taken(session: Session, rail: Rail, found: PayoutLookup) -> bool:
    """Return whether what the node knows is the payment of another payout."""
    return batch_with(session, rail.name, found.carrier.reference) is not None


def _give_up(deps: Deps, session: Session, order: PayoutOrder, words: str) -> None:
    """Note that no payment can be made; another process may have made one meanwhile."""
    with write_transaction(session):
        payout = lock_payout(session, order.payout_id)
        if (payout.state, payout.destination) == (PayoutState.WAITING, order.destination):
            after_failure(deps, session, payout, words)


def _store(
    deps: Deps, session: Session, rail: Rail, order: PayoutOrder, prepared: PreparedPayout
) -> OpenBatch | None:
    """Store the payment and announce that it is sent; None when somebody was faster."""
    try:
        with write_transaction(session):
            if _was_tried(session, rail.name, prepared.reference):
                raise Overtaken
            batch = store_batch(deps, session, rail.name, prepared, [order], BatchState.ASIDE)
            batch.sends, batch.sending_since = 1, deps.clock()
            session.flush()
            return open_batch(batch)
    except (Overtaken, IntegrityError):
        log.info("rail=%s another process was faster; nothing was sent", rail.name)
        return None


def _was_tried(session: Session, rail: str, reference: str) -> bool:
    """Return whether any payment, a failed one as well, was for this invoice."""
    same = (PayoutBatch.rail == rail, PayoutBatch.reference == reference)
    return session.scalar(select(PayoutBatch.id).where(*same).limit(1)) is not None


def _announce(deps: Deps, session: Session, asked: OpenBatch) -> OpenBatch | None:
    """Claim the sending of a payment; None while a call may still be on its way."""
    with write_transaction(session):
        batch = lock_asked(session, asked)
        if batch is None or (batch.sends, batch.sent_at) != (asked.sends, asked.sent_at):
            return None
        if is_being_sent(deps, batch):
            return None
        batch.sends, batch.sending_since = batch.sends + 1, deps.clock()
        session.flush()
        return open_batch(batch)


def is_being_sent(deps: Deps, batch: PayoutBatch) -> bool:
    """Return whether a call to pay may still be on its way to the node."""
    # A clock that was put back makes this wait longer; the other way it would pay twice.
    return batch.sending_since is not None and deps.clock() - batch.sending_since < SENDING_S


def _send(deps: Deps, session: Session, rail: Rail, asked: OpenBatch) -> None:
    """Send what was announced, and ask how it went.

    Only a clear answer ends the announcement: a call that timed out may still get through.
    An announcement that has grown old is left to the next pass, which makes a new one.
    """
    if deps.clock() - (asked.sending_since or 0) > CALL_WITHIN_S:
        log.warning("rail=%s payment=%s is announced anew", rail.name, asked.prepared.reference)
        return
    if rail.send_payout(asked.prepared) is not Outcome.UNKNOWN:
        with write_transaction(session):
            batch = lock_asked(session, asked)
            if batch is not None and batch.sends == asked.sends:
                batch.sending_since = None
                mark_sent(batch, deps.clock())
                session.flush()
                asked = open_batch(batch)
    _ask(deps, session, rail, asked)


def _ask(deps: Deps, session: Session, rail: Rail, asked: OpenBatch) -> PayoutLookup:
    """Ask the rail about a payment, and store what it says."""
    found = _believed(session, rail, asked, rail.lookup_payout(asked.prepared))
    detail = found.detail[:MAX_TEXT_CHARS]
    is_news = found.outcome is not Outcome.UNKNOWN or detail != asked.detail
    if is_news and (found.outcome, asked.state) != (Outcome.PENDING, BatchState.SENT):
        with write_transaction(session):
            _note(deps, session, asked, found, detail)
    return found


def _believed(session: Session, rail: Rail, asked: OpenBatch, found: PayoutLookup) -> PayoutLookup:
    """Return the answer; who had a payment under way cannot say that it never left.

    A node that forgot it, or another one in its place, knows nothing of what may still
    settle. It is neither sent again nor given up before a clear word, however long.
    """
    if asked.sent_at is None or not found.missing:
        return testified(session, rail, found, asked.created_at)
    return replace(found, outcome=Outcome.UNKNOWN, detail=_FORGOTTEN, missing=False)


def _note(deps: Deps, session: Session, asked: OpenBatch, found: PayoutLookup, detail: str) -> None:
    batch = lock_asked(session, asked)
    if batch is None:
        return
    if found.outcome is Outcome.SETTLED:
        batch.fee_msat, batch.detail = found.carrier.fee_msat, detail
        mark_sent(batch, deps.clock())
        settle(deps, session, batch)
    elif found.outcome is Outcome.FAILED:
        if _may_fail(deps, batch, asked):
            batch.detail = detail
            for payout in end_failed(deps, session, batch):
                after_failure(deps, session, payout, f"The payment failed: {found.detail}")
    else:
        batch.detail = detail
        if found.outcome is Outcome.PENDING:
            mark_sent(batch, deps.clock())
    session.flush()


def _may_fail(deps: Deps, batch: PayoutBatch, asked: OpenBatch) -> bool:
    """Return whether the node's no is about the last sending, and no call is on its way.

    After a single sending that is so: the node heard of the payment by that alone.
    """
    if batch.sends != asked.sends:
        return False
    return batch.sends == 1 or not is_being_sent(deps, batch)
