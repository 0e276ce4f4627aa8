"""Compare what the books say a rail holds with what the rail says it holds.

Both sides are asked one after the other, so the books are read again afterwards: only
when they stand where they stood were both sides asked about the same moment. Before
anything is called short, the watch catches up with the rail.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, RailError
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import OPEN_BATCH_STATES
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.float_recipes import deposit_float, withdraw_float
from bitcache_server.models.payouts import PayoutBatch
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.models.session import read_transaction, write_transaction
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.rails.base import ChainRail, Observation, PreparedPayout, Rail, StreamRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.watch_rail import as_observation, check_unconfirmed, watch_rail
from bitcache_server.services.watch_stream import watch_stream

log = logging.getLogger(__name__)

#: Each time the books moved while the rail was asked, everything is asked again.
TRIES = 5


class Code(StrEnum):
    """What a comparison says."""

    OK = "ok"
    SHORT = "short"
    """The rail holds less than the books say: money is missing."""
    SURPLUS = "surplus"
    """It holds more: somebody paid in, and nothing was booked."""
    UNKNOWN = "unknown"
    """The rail does not answer, or the books did not stand still."""


@dataclass(frozen=True)
class Comparison:
    """One comparison; amounts in msat."""

    rail: str
    code: Code
    booked_msat: int
    held_msat: int
    detail: str


@dataclass(frozen=True)
class _Books:
    """What the books say of a rail at one moment."""

    received_msat: int
    """Received and not yet gone: booked, or in a block and not booked yet."""
    waiting: tuple[Observation, ...]
    """Neither booked nor in a block: they count while the rail still knows them."""
    references: tuple[str, ...]
    """Payments to us, for the rail to look up."""
    batches: tuple[tuple[str, PreparedPayout], ...]
    """Payouts that were signed and are not booked as gone, each with its state."""


def reconcile_due(deps: Deps, session: Session, rail: Rail) -> None:
    """Compare a rail when its last comparison is old, whichever process made that."""
    checked_at = session.scalar(
        select(Reconciliation.checked_at).where(Reconciliation.rail == rail.name)
    )
    session.rollback()
    age_s = None if checked_at is None else deps.clock() - checked_at
    # A clock that was put back must not stop the comparisons.
    if age_s is None or not 0 <= age_s < deps.settings.reconcile_every_s:
        reconcile(deps, session, rail)


def reconcile(deps: Deps, session: Session, rail: Rail) -> Comparison:
    """Compare a rail with its clearing accounts, store the result, and return it.

    Opens its own transactions and asks the rail between them. Logs an error once when
    money begins to be missing.
    """
    result = _compare(session, rail)
    if result.code in (Code.SHORT, Code.SURPLUS):
        # Perhaps the rail only knows more than we have booked.
        try:
            _catch_up(deps, session, rail)
        except RailError as error:
            result = _unknown(rail, result.booked_msat, error.detail)
        else:
            result = _compare(session, rail)
    _store(deps, session, result)
    return result


def _catch_up(deps: Deps, session: Session, rail: Rail) -> None:
    """Book what the rail knows by now."""
    if isinstance(rail, ChainRail):
        watch_rail(deps, session, rail)
        check_unconfirmed(deps, session, rail)
    elif isinstance(rail, StreamRail):
        watch_stream(deps, session, rail, 0)


def _compare(session: Session, rail: Rail) -> Comparison:
    books = _read_books(session, rail.name)
    for _ in range(TRIES):
        try:
            known_msat = books.received_msat + _ask_waiting(rail, books.waiting)
            sent_msat, doubtful_msat = _ask_batches(rail, books.batches)
            held_msat = rail.held_msat(books.references)
        except RailError as error:
            return _unknown(rail, books.received_msat, error.detail)
        before, books = books, _read_books(session, rail.name)
        if books == before:
            return _judge(rail, known_msat - sent_msat, doubtful_msat, held_msat)
    detail = "The books moved each time while the rail was asked; the next run tries again."
    return _unknown(rail, books.received_msat, detail)


def _read_books(session: Session, rail: str) -> _Books:
    with read_transaction(session):
        cleared_msat = balance(session, chart.clearing(rail))
        unconfirmed_msat = balance(session, chart.unconfirmed(rail))
        pooled = (
            Payment.rail == rail,
            Payment.removed.is_(False),
            Payment.invoice_id == Invoice.id,
            Invoice.direct.is_(False),
        )
        unbooked = (*pooled, Payment.receipt_group.is_(None))
        mined = select(func.coalesce(func.sum(Payment.amount_msat), 0)).where(
            *unbooked, Payment.block_height.is_not(None)
        )
        mined_msat = int(session.execute(mined).scalar_one())
        waiting = select(Payment).where(*unbooked, Payment.block_height.is_(None))
        references = session.scalars(
            select(Payment.reference).where(*pooled).order_by(Payment.reference)
        )
        batches = session.scalars(
            select(PayoutBatch)
            .where(PayoutBatch.rail == rail, PayoutBatch.state.in_(OPEN_BATCH_STATES))
            .order_by(PayoutBatch.id)
        )
        return _Books(
            received_msat=mined_msat - cleared_msat - unconfirmed_msat,
            waiting=tuple(
                as_observation(p) for p in session.scalars(waiting.order_by(Payment.reference))
            ),
            references=tuple(references),
            batches=tuple((row.state, _prepared(row)) for row in batches),
        )


def _prepared(row: PayoutBatch) -> PreparedPayout:
    return PreparedPayout(row.reference, row.raw, row.amount_msat, row.fee_msat)


def _ask_waiting(rail: Rail, waiting: Sequence[Observation]) -> int:
    """Return the msat of unconfirmed payments that the rail still knows.

    What nobody can find any more was never booked, and its sender may never send it
    again: it is not missing.
    """
    if not isinstance(rail, ChainRail):
        return 0  # What arrives there is final at once.
    known = (Outcome.PENDING, Outcome.SETTLED)
    return sum(seen.amount_msat for seen in waiting if rail.lookup(seen).outcome in known)


def _ask_batches(rail: Rail, batches: Sequence[tuple[str, PreparedPayout]]) -> tuple[int, int]:
    """Return what left with payouts that are not booked, and what perhaps did, in msat."""
    sent_msat = doubtful_msat = 0
    for _, prepared in batches:
        found = rail.lookup_payout(prepared)
        # It may have been replaced by one that pays the same for another fee.
        total_msat = found.carrier.amount_msat + found.carrier.fee_msat
        # What is under way over Lightning may still be counted by the node, or not any more.
        pending_is_out = isinstance(rail, ChainRail)
        if found.outcome is Outcome.SETTLED or (
            found.outcome is Outcome.PENDING and pending_is_out
        ):
            sent_msat += total_msat
        elif found.outcome in (Outcome.UNKNOWN, Outcome.PENDING):
            doubtful_msat += total_msat
    return sent_msat, doubtful_msat


def _judge(rail: Rail, booked_msat: int, doubtful_msat: int, held_msat: int) -> Comparison:
    """Say what the difference means; ``doubtful_msat`` of what is booked may be gone."""
    holds = f"The rail {rail.name} holds {format_sat(held_msat)}"
    # A Lightning node may tell whole sats only, and books have parts of one.
    slack_msat = MSAT_PER_SAT - 1 if isinstance(rail, StreamRail) else 0
    exact = (booked_msat, booked_msat - doubtful_msat)
    if any(abs(held_msat - each_msat) <= slack_msat for each_msat in exact):
        return Comparison(rail.name, Code.OK, held_msat, held_msat, f"{holds}, as the books say.")
    says = f"{holds}; the books say {format_sat(booked_msat)}"
    if held_msat > booked_msat:
        more = format_sat(held_msat - booked_msat)
        detail = f"{says}: {more} never booked. `bitcache ledger deposit` books your own."
        return Comparison(rail.name, Code.SURPLUS, booked_msat, held_msat, detail)
    least_msat = booked_msat - doubtful_msat
    if held_msat > least_msat:
        detail = f"{says}, and nobody can tell now whether a payout is out."
        return Comparison(rail.name, Code.UNKNOWN, booked_msat, held_msat, detail)
    detail = f"{says}: {format_sat(least_msat - held_msat)} missing."
    return Comparison(rail.name, Code.SHORT, least_msat, held_msat, detail)


def _unknown(rail: Rail, booked_msat: int, detail: str) -> Comparison:
    return Comparison(rail.name, Code.UNKNOWN, booked_msat, 0, detail)


def _store(deps: Deps, session: Session, result: Comparison) -> None:
    now = deps.clock()
    with write_transaction(session):
        row = session.get(Reconciliation, result.rail, with_for_update=True)
        earlier = row.code if row else ""
        if row is None:
            row = Reconciliation(rail=result.rail, since=now)
            session.add(row)
        if earlier != result.code:
            row.since = now
        row.code, row.detail = result.code.value, result.detail
        row.booked_msat, row.held_msat = result.booked_msat, result.held_msat
        row.checked_at = now
    if result.code is Code.SHORT and earlier != Code.SHORT:
        log.error("MONEY IS MISSING: %s", result.detail)
    elif earlier == Code.SHORT and result.code is not Code.SHORT:
        log.warning("reconciliation is no longer short: %s", result.detail)


def book_deposit(deps: Deps, session: Session, rail: str, amount_msat: int) -> str:
    """Book money that the operator put into a rail, inside the caller's write transaction.

    Raises UnknownRail.
    """
    name = deps.rail(rail).name
    _outdate(session, name)
    return deposit_float(session, name, amount_msat, deps.clock())


def book_withdrawal(deps: Deps, session: Session, rail: str, amount_msat: int) -> str:
    """Book money that the operator took out of a rail, inside the caller's write transaction.

    Raises UnknownRail, and InvalidRequest for more than the books say is there.
    """
    name = deps.rail(rail).name
    held_msat = -balance(session, chart.clearing(name))
    if amount_msat > held_msat:
        raise InvalidRequest(f"The books say that {name} holds {format_sat(held_msat)}.")
    _outdate(session, name)
    return withdraw_float(session, name, amount_msat, deps.clock())


def _outdate(session: Session, rail: str) -> None:
    """Let a rail be compared again soon: what was found before this booking says nothing now.

    Money that was missing stays so until then, for nobody knows yet that it is back.
    """
    known = Reconciliation.rail == rail
    session.execute(delete(Reconciliation).where(known, Reconciliation.code != Code.SHORT))
    session.execute(update(Reconciliation).where(known).values(checked_at=0))
