"""Book what a rail with final settlements reports, and ask where no report can come.

Settlements and the cursor behind them are stored in one transaction, so that nothing is
missed by whoever is killed in between; what is reported twice is booked once. Nothing here
waits for a network inside a transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BitcacheError, RailError
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.models.operations import StreamCursor
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rails.base import PaymentRequest, Settlement, StreamRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.settle_invoice import settle_invoice

#: SQLite allows 32,766 values in one statement.
_BOOK_CHUNK = 500
#: (age of a request, seconds until it is asked about again), where nobody else reports it.
_ASK_EVERY_S = ((60, 2), (300, 5), (1_200, 10), (86_400, 60))
#: A request of our own node is asked about this long after it was made ...
_DOUBT_AFTER_S = 60
#: ... and at these times relative to its end, in case that the stream left something out.
_DOUBT_AROUND_END_S = (-15, 5, 60, 600)
#: So long after its end a request is still asked about.
_ASK_AFTER_END_S = 3_600
#: Only asking brings what came to somebody else's node while it or we were down. So it goes
#: on for longer, the older the request the more rarely, and a few of them at a time.
_ASK_ELSEWHERE_AFTER_END_S = 3 * 86_400
_ASK_OLD_EVERY = 4
_OLD_AT_ONCE = 20


@dataclass(frozen=True)
class _Waiting:
    """A request that was not paid yet, as it is stored."""

    invoice_id: str
    merchant_id: str
    request: PaymentRequest
    created_at: int
    ends_at: int

    @property
    def host(self) -> str:
        """Return whom to ask; empty for our own node."""
        return urlsplit(self.request.check_url).netloc

    @property
    def asked_of(self) -> set[str]:
        """Return who keeps us waiting when no answer comes: a host, and whose provider it is.

        The provider picks the host of each invoice, and with a new one each time it could
        keep the questions about everybody else's waiting for as long as it likes.
        """
        return {self.host, f"of {self.merchant_id}"} if self.host else {""}

    def first_at(self) -> int:
        """Return when it is asked about for the first time."""
        return self.created_at + (_ASK_EVERY_S[0][1] if self.host else _DOUBT_AFTER_S)

    def is_old(self, now: int) -> bool:
        """Return whether nobody waits for the answer any more."""
        return now > self.ends_at + _ASK_AFTER_END_S

    def next_at(self, now: int) -> int:
        """Return when to ask again, after now."""
        if not self.host:
            around = (self.ends_at + seconds for seconds in _DOUBT_AROUND_END_S)
            return next((at for at in around if at > now), now + _ASK_AFTER_END_S)
        age_s = now - self.created_at
        if self.is_old(now):
            return now + age_s // _ASK_OLD_EVERY
        pauses = (pause_s for up_to_s, pause_s in _ASK_EVERY_S if age_s < up_to_s)
        return now + next(pauses, _ASK_EVERY_S[-1][1])


def watch_stream(deps: Deps, session: Session, rail: StreamRail, wait_s: float) -> int:
    """Book what was settled since the last pass, waiting up to ``wait_s`` for the first.

    Opens its own transactions. Returns how many settlements were reported. Raises
    RailError; the next pass goes on at the stored cursor.
    """
    cursor = session.scalar(select(StreamCursor.cursor).where(StreamCursor.rail == rail.name))
    session.rollback()
    page = rail.settlements(cursor, wait_s)
    if page.cursor == cursor and not page.settlements:
        return 0
    for start in range(0, len(page.settlements), _BOOK_CHUNK):
        chunk = page.settlements[start : start + _BOOK_CHUNK]
        with write_transaction(session):
            _book_all(deps, session, rail.name, chunk)
            if start + _BOOK_CHUNK >= len(page.settlements):
                _store_cursor(session, rail.name, page.cursor)
    if not page.settlements:
        with write_transaction(session):
            _store_cursor(session, rail.name, page.cursor)
    return len(page.settlements)


def _store_cursor(session: Session, rail: str, cursor: str) -> None:
    insert_missing(session, StreamCursor, rail=rail, cursor=cursor)
    query = select(StreamCursor).where(StreamCursor.rail == rail).with_for_update()
    session.scalars(query.execution_options(populate_existing=True)).one().cursor = cursor
    session.flush()


def _book_all(deps: Deps, session: Session, rail: str, settled: Sequence[Settlement]) -> None:
    # All invoices before the first wallet, in the order of their ids: so does everybody.
    targets = {one.target for one in settled}
    ids = select(RequestRow.invoice_id).where(
        RequestRow.rail == rail, RequestRow.target.in_(targets)
    )
    query = select(Invoice.id).where(Invoice.id.in_(ids)).order_by(Invoice.id)
    session.execute(query.with_for_update())
    for one in settled:
        book_settlement(deps, session, one)


def book_settlement(deps: Deps, session: Session, settlement: Settlement) -> str | None:
    """Book money that our own node received, inside the caller's write transaction.

    Booked once, however often it is reported. Returns the invoice, or None when no request
    of ours was paid by it.
    """
    query = select(RequestRow).where(
        RequestRow.rail == settlement.rail,
        RequestRow.target == settlement.target,
        # What somebody else's node received is never believed to be here.
        RequestRow.check_url == "",
    )
    request = session.scalars(query).first()
    if request is None:
        return None
    _book(deps, session, request.invoice_id, request.amount_msat, settlement)
    return request.invoice_id


def _book(
    deps: Deps, session: Session, invoice_id: str, asked_msat: int, settlement: Settlement
) -> None:
    session.execute(select(Invoice.id).where(Invoice.id == invoice_id).with_for_update())
    key = (settlement.rail, settlement.reference)
    if session.get(Payment, key, populate_existing=True) is not None:
        return
    now = deps.clock()
    session.add(
        Payment(
            rail=settlement.rail,
            reference=settlement.reference,
            invoice_id=invoice_id,
            target=settlement.target,
            # A node that does not say how much took what was asked for.
            amount_msat=settlement.amount_msat or asked_msat,
            # Who paid in time while we were down is not late.
            arrived_at=min(now, settlement.settled_at or now),
            spendable_at_height=0,
            sight_ok=True,
            sight_reason="",
            raw=settlement.proof,
            removed=False,
            final=True,
            settled=False,
        )
    )
    session.flush()
    settle_invoice(deps, session, invoice_id)


def check_requests(deps: Deps, session: Session, rail: StreamRail) -> int:
    """Ask about requests that the stream does not report, or may have left out.

    Those of somebody else's node are asked about often while they are young; those of our
    own around their end. Opens its own transactions, and asks between them; returns how
    many were paid. Raises RailError when our own node does not answer; somebody else's that
    does not is asked again later.
    """
    waiting = _waiting(deps, session, rail.name)
    known = deps.next_checks
    for target in set(known) - {one.request.target for one in waiting}:
        known.pop(target, None)
    paid = old = 0
    silent: dict[str, BitcacheError] = {}
    # Who was left out comes first in the next pass.
    for one in sorted(waiting, key=lambda one: known.get(one.request.target, one.first_at())):
        now = deps.clock()
        if known.get(one.request.target, one.first_at()) > now or one.asked_of & set(silent):
            continue
        old += one.is_old(now)
        if one.is_old(now) and old > _OLD_AT_ONCE:
            continue
        known[one.request.target] = one.next_at(now)
        try:
            settlement = rail.check_request(one.request)
        except BitcacheError as error:
            silent.update(dict.fromkeys(one.asked_of, error))
            continue
        if settlement is not None:
            with write_transaction(session):
                _book(deps, session, one.invoice_id, one.request.amount_msat, settlement)
            paid += 1
    if isinstance(ours := silent.get(""), RailError):
        raise ours
    return paid


def _waiting(deps: Deps, session: Session, rail: str) -> list[_Waiting]:
    paid = and_(Payment.rail == RequestRow.rail, Payment.reference == RequestRow.target)
    now = deps.clock()
    elsewhere = and_(
        RequestRow.check_url != "", Invoice.expires_at > now - _ASK_ELSEWHERE_AFTER_END_S
    )
    query = (
        select(RequestRow, Invoice.expires_at, Invoice.merchant_id)
        .join(Invoice, Invoice.id == RequestRow.invoice_id)
        .outerjoin(Payment, paid)
        .where(
            RequestRow.rail == rail,
            Payment.reference.is_(None),
            # All states: whoever paid on another rail may pay here, too.
            Invoice.state.in_(list(InvoiceState)),
            or_(elsewhere, Invoice.expires_at > now - _ASK_AFTER_END_S),
        )
        .order_by(RequestRow.created_at.desc())
    )
    found = [_as_waiting(*row) for row in session.execute(query)]
    session.rollback()
    return found


def _as_waiting(row: RequestRow, expires_at: int, merchant_id: str) -> _Waiting:
    request = PaymentRequest(
        row.rail, row.destination, row.target, row.amount_msat, row.description, row.check_url
    )
    return _Waiting(row.invoice_id, merchant_id, request, row.created_at, expires_at)
