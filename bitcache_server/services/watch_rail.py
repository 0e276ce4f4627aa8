"""Walk a rail from the stored cursor and book what it saw, one step a transaction.

Killed between two steps, it goes on at the stored cursor; killed within one, the
database forgets the half step. A second process at the same time finds that the
cursor has moved and leaves.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.outcome import Outcome
from bitcache_server.models.operations import ChainBlock, JobLease
from bitcache_server.models.sales import Address, Invoice, Payment
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rails.base import (
    BlockConnected,
    BlockDisconnected,
    BlockRef,
    ChainRail,
    Cursor,
    MempoolSeen,
    Observation,
    Step,
)
from bitcache_server.services.deps import Deps
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.services.walk import steps_from

#: Blocks kept to find the common ancestor after a reorganisation.
BLOCKS_KEPT = 2_016
#: SQLite allows 32,766 values in one statement; PostgreSQL's driver 65,535.
MATCH_CHUNK = 5_000


class CursorMoved(Exception):
    """Another process booked blocks meanwhile; this pass ends quietly."""


@dataclass(frozen=True)
class WatchReport:
    """What one pass did."""

    blocks: int
    observations: int


def watch_rail(deps: Deps, session: Session, rail: ChainRail) -> WatchReport:
    """Book everything that happened since the last pass. Opens its own transactions.

    Raises RailError; what was booked before the error stays booked.
    """
    blocks = observations = 0
    cursor = stored_cursor(session, rail.name)
    session.rollback()
    try:
        for step in steps_from(session, rail, cursor, lambda targets: _match(session, targets)):
            session.rollback()
            with write_transaction(session):
                _lock_walk(session, rail.name)
                observations += _apply(deps, session, rail.name, step)
            blocks += not isinstance(step, MempoolSeen)
    except CursorMoved:
        rail.forget_mempool()
        return WatchReport(blocks, observations)
    except Exception:
        # What the rail has reported but nobody booked must be reported again.
        rail.forget_mempool()
        raise
    if blocks:
        check_unconfirmed(deps, session, rail)
    return WatchReport(blocks, observations)


def stored_cursor(session: Session, rail: str) -> Cursor | None:
    """Return the last block that was booked; None before the first pass."""
    query = select(ChainBlock).where(ChainBlock.rail == rail)
    tip = session.scalar(query.order_by(ChainBlock.height.desc()).limit(1))
    return Cursor(tip.height, tip.hash) if tip else None


def _lock_walk(session: Session, rail: str) -> None:
    """Let one process at a time book what this rail saw.

    The lock is a row that stays: the tip's own would be another one with each block.
    Whoever waited for it must read what the other one booked.
    """
    name = f"walk:{rail}"
    insert_missing(session, JobLease, name=name, holder="", expires_at=0)
    session.scalar(select(JobLease).where(JobLease.name == name).with_for_update())
    session.expire_all()


def _match(session: Session, targets: Sequence[str]) -> Set[str]:
    """Return the targets that are ours: an index look-up for the outputs of a block."""
    found: set[str] = set()
    for start in range(0, len(targets), MATCH_CHUNK):
        chunk = targets[start : start + MATCH_CHUNK]
        found.update(session.scalars(select(Address.target).where(Address.target.in_(chunk))))
    return found


def _apply(deps: Deps, session: Session, rail: str, step: Step) -> int:
    match step:
        case BlockConnected():
            return _connect(deps, session, rail, step)
        case BlockDisconnected():
            return _disconnect(deps, session, rail, step)
        case MempoolSeen():
            touched = {_observe(deps, session, o) for o in step.observations}
            _settle_all(deps, session, touched)
            return len(step.observations)


def _connect(deps: Deps, session: Session, rail: str, step: BlockConnected) -> int:
    cursor = stored_cursor(session, rail)
    if cursor is not None and cursor.hash != step.previous_hash:
        raise CursorMoved
    block = step.block
    session.add(
        ChainBlock(
            rail=rail, height=block.height, hash=block.hash, previous_hash=step.previous_hash
        )
    )
    session.execute(
        delete(ChainBlock).where(
            ChainBlock.rail == rail, ChainBlock.height < block.height - BLOCKS_KEPT
        )
    )
    session.flush()
    touched = {_observe(deps, session, o) for o in step.observations}
    _settle_all(deps, session, touched | _waiting_for_depth(session, rail))
    return len(step.observations)


def _waiting_for_depth(session: Session, rail: str) -> set[str | None]:
    """Return the invoices whose confirmations grew with this block but do not suffice yet."""
    query = select(Payment.invoice_id).where(
        Payment.rail == rail,
        Payment.settled.is_(False),
        Payment.removed.is_(False),
        Payment.block_height.is_not(None),
    )
    return set(session.scalars(query))


def _disconnect(deps: Deps, session: Session, rail: str, step: BlockDisconnected) -> int:
    cursor = stored_cursor(session, rail)
    if cursor is None or cursor.hash != step.hash:
        raise CursorMoved
    session.execute(
        delete(ChainBlock).where(ChainBlock.rail == rail, ChainBlock.height >= step.height)
    )
    lost = select(Payment).where(Payment.rail == rail, Payment.block_height >= step.height)
    touched: set[str | None] = set()
    for payment in session.scalars(lost).all():
        payment.block_hash = payment.block_height = None
        touched.add(payment.invoice_id)
    if cursor.height == step.height and step.height > 0:
        _keep_a_cursor(session, rail, step)
    session.flush()
    _settle_all(deps, session, touched)
    return 0


def _keep_a_cursor(session: Session, rail: str, step: BlockDisconnected) -> None:
    """Keep the ancestor as the cursor where the walk has left the blocks that we kept."""
    if stored_cursor(session, rail) is None:
        session.add(
            ChainBlock(rail=rail, height=step.height - 1, hash=step.previous_hash, previous_hash="")
        )


def _observe(deps: Deps, session: Session, seen: Observation) -> str | None:
    """Store what was seen and return the invoice it belongs to; None when it is not ours."""
    payment = session.get(Payment, (seen.rail, seen.reference))
    if payment is None:
        payment = _new_payment(deps, session, seen)
        if payment is None:
            return None
        session.add(payment)
    if seen.block is not None:
        payment.block_hash, payment.block_height = seen.block.hash, seen.block.height
    elif not payment.sight_ok:
        # Only a block that is disconnected takes a payment out of it: a slow process
        # may have looked at the mempool before that block came.
        payment.sight_ok, payment.sight_reason = seen.sight_ok, seen.sight_reason[:200]
    payment.removed = False
    session.flush()
    return payment.invoice_id


def _new_payment(deps: Deps, session: Session, seen: Observation) -> Payment | None:
    query = select(Address).where(Address.target == seen.target).with_for_update()
    address = session.scalar(query.execution_options(populate_existing=True))
    if address is None:
        return None
    address.used = True
    return Payment(
        rail=seen.rail,
        reference=seen.reference,
        invoice_id=address.invoice_id,
        target=seen.target,
        amount_msat=seen.amount_msat,
        arrived_at=_arrival(deps.clock(), seen.block),
        spendable_at_height=seen.spendable_at_height,
        # Nobody judged a payment that a block brought. After a reorganisation that matters.
        sight_ok=seen.sight_ok and seen.block is None,
        sight_reason=seen.sight_reason[:200],
        raw=seen.raw,
        removed=False,
        settled=False,
    )


def _arrival(now: int, block: BlockRef | None) -> int:
    """Return when the money came: a reader who paid in time while we were down is not late."""
    return now if block is None else min(now, block.time)


def _settle_all(deps: Deps, session: Session, invoice_ids: Set[str | None]) -> None:
    ids = sorted(i for i in invoice_ids if i is not None)
    # All invoices before the first wallet, in the order of their ids: so does everybody.
    for start in range(0, len(ids), MATCH_CHUNK):
        chunk = select(Invoice.id).where(Invoice.id.in_(ids[start : start + MATCH_CHUNK]))
        session.execute(chunk.order_by(Invoice.id).with_for_update())
    for invoice_id in ids:
        settle_invoice(deps, session, invoice_id)


def check_unconfirmed(deps: Deps, session: Session, rail: ChainRail) -> int:
    """Ask the rail about each payment without a block; return how many were removed.

    Only FAILED, a conflicting transaction in its place, removes a payment: one that
    the node merely forgot is sent to it again by the rail.
    """
    query = select(Payment).where(
        Payment.rail == rail.name, Payment.block_height.is_(None), Payment.removed.is_(False)
    )
    waiting = [(p.reference, as_observation(p)) for p in session.scalars(query)]
    session.rollback()
    removed = 0
    for reference, observation in waiting:
        if rail.lookup(observation).outcome is not Outcome.FAILED:
            continue
        with write_transaction(session):
            _lock_walk(session, rail.name)
            removed += _remove(deps, session, rail.name, reference)
    return removed


def _remove(deps: Deps, session: Session, rail: str, reference: str) -> int:
    payment = session.get(Payment, (rail, reference), populate_existing=True)
    if payment is None or payment.block_height is not None or payment.removed:
        return 0
    payment.removed = True
    session.flush()
    settle_invoice(deps, session, payment.invoice_id)
    return 1


def as_observation(payment: Payment) -> Observation:
    """Return a stored payment as the rail reported it before it was in a block."""
    return Observation(
        rail=payment.rail,
        reference=payment.reference,
        target=payment.target,
        amount_msat=payment.amount_msat,
        block=None,
        sight_ok=payment.sight_ok,
        sight_reason=payment.sight_reason,
        spendable_at_height=payment.spendable_at_height,
        raw=payment.raw,
    )
