"""Whether money leaves as it should: for ``/health`` and for the doctor."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.payout_state import (
    OPEN_BATCH_STATES,
    OPEN_STATES,
    UNSEEN_BATCH_STATES,
    PayoutState,
)
from bitcache_server.domain.words import count
from bitcache_server.models.payouts import Operator, Payout, PayoutBatch, PayoutResolution
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.payout_approvals import APPROVALS_NEEDED
from bitcache_server.services.payout_contradictions import contradicted

#: A transaction that nobody saw after this time needs a person.
STUCK_AFTER_S = 3_600
#: A Lightning payment ends within seconds, unless somebody on its way holds it back.
LONG_AFTER_S = SECONDS_PER_DAY

_LOOK = "Put money into the paying wallet or look at the node: `bitcache payout list`."


@dataclass(frozen=True)
class Trouble:
    """One reason why payouts need a person."""

    code: str
    number: int
    """How many payouts are behind it."""
    detail: str
    """For operators only: it may say what the paying wallet holds."""
    mend: str
    since: int | None
    """Since when there may be a reason: the oldest payout behind it."""
    is_urgent: bool = True


@dataclass(frozen=True)
class PayoutHealth:
    """How many payouts wait and why; ``code`` is ``ok`` where nobody need act."""

    code: str
    number: int
    """How many of them are behind the code."""
    detail: str
    """For operators only: it may say what the paying wallet holds."""
    for_approval: int
    since: int | None = None


def payout_health(deps: Deps, session: Session) -> PayoutHealth:
    """Return the state of all payouts, from the database alone: the worst that there is."""
    for_approval = _count(session, PayoutState.APPROVAL)
    worst = next(_troubles(deps, session), None)
    if worst is not None:
        return PayoutHealth(worst.code, worst.number, worst.detail, for_approval, worst.since)
    on_their_way = _count(session, PayoutState.WAITING) + _count(session, PayoutState.SENDING)
    words = count(on_their_way, "payout is", "payouts are")
    return PayoutHealth("ok", on_their_way, f"{words} on the way.", for_approval)


def _troubles(deps: Deps, session: Session) -> Iterator[Trouble]:
    """Yield what is wrong, the worst first."""
    yield from _contradicted(session)
    yield from _stuck(deps, session)
    yield from _held(session)
    yield from _waiting(session)
    yield from _long_under_way(deps, session)


def _contradicted(session: Session) -> Iterator[Trouble]:
    query = select(PayoutResolution).where(contradicted()).order_by(PayoutResolution.batch_id)
    rows = session.scalars(query).all()
    if not rows:
        return
    first = rows[0]
    fee = "" if first.node_fee_msat is None else f", with a fee of {first.node_fee_msat} msat"
    yield Trouble(
        "payout_contradicted",
        len(rows),
        f"Operators ended {first.payout_id} as {'settled' if first.settled else 'failed'}; the"
        f" node says that it is {first.node_says}{fee}.{_and_more(rows)} Nothing was booked for"
        " that.",
        "Book what is missing or too much (`bitcache ledger withdraw` or `deposit`), then"
        f" `bitcache payout take-note {first.payout_id} --as NAME`.",
        first.resolved_at,
    )


def _stuck(deps: Deps, session: Session) -> Iterator[Trouble]:
    stuck = _older_than(deps, session, STUCK_AFTER_S, PayoutBatch.state.in_(UNSEEN_BATCH_STATES))
    if stuck:
        one = stuck[0]
        words = f"The transaction {one.reference} does not get out: {one.detail or 'unknown'}"
        yield Trouble("payout_stuck", 1, words, _LOOK, one.created_at)


def _held(session: Session) -> Iterator[Trouble]:
    query = select(func.count(), func.min(Payout.id), func.min(Payout.held_at)).where(
        Payout.held_at.is_not(None), Payout.state.in_(OPEN_STATES)
    )
    number, first, since = session.execute(query).one()
    if number:
        yield Trouble(
            "payouts_held",
            number,
            f"{count(number, 'payout is', 'payouts are')} held after a restored backup, and may"
            " have been paid since.",
            f"Look at each: `bitcache payout release {first} --as NAME` if it was not paid,"
            " else `bitcache payout resolve`.",
            since,
        )


def _waiting(session: Session) -> Iterator[Trouble]:
    # One whose own destination failed has a time of its next try, and needs nobody.
    number, reason, since = session.execute(
        select(func.count(), func.max(Payout.reason), func.min(Payout.created_at)).where(
            Payout.state == PayoutState.WAITING,
            Payout.reason != "",
            Payout.next_try_at == 0,
            Payout.held_at.is_(None),
        )
    ).one()
    if number:
        words = f"{count(number, 'payout waits', 'payouts wait')}: {reason}"
        yield Trouble("payouts_waiting", number, words, _LOOK, since)


def _long_under_way(deps: Deps, session: Session) -> Iterator[Trouble]:
    single = (PayoutBatch.sends > 0, PayoutBatch.state.in_(OPEN_BATCH_STATES))
    long = _older_than(deps, session, LONG_AFTER_S, *single)
    if not long:
        return
    query = select(Payout.id).where(Payout.batch_id == long[0].id)
    payout_id = session.scalar(query) or "PAYOUT"
    days = (deps.clock() - long[0].created_at) // SECONDS_PER_DAY
    yield Trouble(
        "payouts_under_way_long",
        len(long),
        f"{payout_id} is under way over Lightning for {count(days, 'day')}.{_and_more(long)}",
        "Most end by themselves within two weeks. If the node that paid is gone for good, two"
        f" operators end it: `bitcache payout resolve {payout_id} --as NAME`.",
        long[0].created_at,
        is_urgent=False,
    )


def _older_than(
    deps: Deps, session: Session, age_s: int, *conditions: ColumnElement[bool]
) -> Sequence[PayoutBatch]:
    query = select(PayoutBatch).where(*conditions, PayoutBatch.created_at < deps.clock() - age_s)
    return session.scalars(query.order_by(PayoutBatch.created_at, PayoutBatch.id)).all()


def _and_more(rows: Sequence[object]) -> str:
    return f" So are {len(rows) - 1} more." if len(rows) > 1 else ""


def _count(session: Session, state: PayoutState) -> int:
    query = select(func.count()).select_from(Payout).where(Payout.state == state)
    return session.execute(query).scalar_one()


def check_payouts(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look for payouts that need a person: money in the paying wallet, approvals."""
    health = payout_health(deps, session)
    if health.code == "ok":
        yield fine("payouts", health.detail)
    for one in _troubles(deps, session):
        tell = problem if one.is_urgent else warning
        yield tell("payouts", one.code, one.detail, one.mend)
    yield from _approvals(session, health.for_approval)


def _approvals(session: Session, waiting: int) -> Iterator[Finding]:
    operators = session.execute(
        select(func.count()).select_from(Operator).where(Operator.removed_at.is_(None))
    ).scalar_one()
    if waiting and operators < APPROVALS_NEEDED:
        yield problem(
            "payouts",
            "operators_missing",
            f"{count(waiting, 'payout waits', 'payouts wait')} for approval, with "
            f"{count(operators, 'operator')}.",
            "Add people: `bitcache operator add NAME`.",
        )
    elif waiting:
        yield warning(
            "payouts",
            "approval_needed",
            f"{count(waiting, 'payout waits', 'payouts wait')} for approval.",
            "Two operators approve each: `bitcache payout approve PAYOUT --as NAME`.",
        )
