"""Whether money leaves as it should: for ``/health`` and for the doctor."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.payout_state import UNSEEN_BATCH_STATES, PayoutState
from bitcache_server.models.payouts import Operator, Payout, PayoutBatch
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.payout_approvals import APPROVALS_NEEDED

#: A transaction that nobody saw after this time needs a person.
STUCK_AFTER_S = 3_600


@dataclass(frozen=True)
class PayoutHealth:
    """How many payouts wait and why; ``code`` is ``ok`` where nobody need act."""

    code: str
    number: int
    """How many of them are behind the code."""
    detail: str
    """For operators only: it may say what the paying wallet holds."""
    for_approval: int


def payout_health(deps: Deps, session: Session) -> PayoutHealth:
    """Return the state of all payouts, from the database alone."""
    waiting = session.execute(
        select(func.count(), func.max(Payout.reason)).where(
            Payout.state == PayoutState.WAITING, Payout.reason != ""
        )
    ).one()
    for_approval = _count(session, PayoutState.APPROVAL)
    stuck = session.scalars(
        select(PayoutBatch)
        .where(
            PayoutBatch.state.in_(UNSEEN_BATCH_STATES),
            PayoutBatch.created_at < deps.clock() - STUCK_AFTER_S,
        )
        .limit(1)
    ).first()
    if stuck is not None:
        words = f"The transaction {stuck.reference} does not get out: {stuck.detail or 'unknown'}"
        return PayoutHealth("payout_stuck", 1, words, for_approval)
    if waiting[0]:
        words = f"{waiting[0]} wait: {waiting[1]}"
        return PayoutHealth("payouts_waiting", waiting[0], words, for_approval)
    on_their_way = _count(session, PayoutState.WAITING) + _count(session, PayoutState.SENDING)
    return PayoutHealth("ok", on_their_way, f"{on_their_way} are on their way.", for_approval)


def _count(session: Session, state: PayoutState) -> int:
    query = select(func.count()).select_from(Payout).where(Payout.state == state)
    return session.execute(query).scalar_one()


def check_payouts(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look for payouts that need a person: money in the paying wallet, approvals."""
    health = payout_health(deps, session)
    if health.code == "ok":
        yield fine("payouts", health.detail)
    else:
        yield problem(
            "payouts",
            health.code,
            health.detail,
            "Put money into the paying wallet or look at the node: `bitcache payout list`.",
        )
    operators = session.execute(
        select(func.count()).select_from(Operator).where(Operator.removed_at.is_(None))
    ).scalar_one()
    if health.for_approval and operators < APPROVALS_NEEDED:
        yield problem(
            "payouts",
            "operators_missing",
            f"{health.for_approval} wait for approval and there are {operators} operators.",
            "Add people: `bitcache operator add NAME`.",
        )
    elif health.for_approval:
        yield warning(
            "payouts",
            "approval_needed",
            f"{health.for_approval} wait for approval.",
            "Two operators approve each: `bitcache payout approve PAYOUT --as NAME`.",
        )
