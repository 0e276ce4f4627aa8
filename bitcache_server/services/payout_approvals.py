"""Two operators say yes to a large payout; one can say no. Operators come and go.

All functions run inside the caller's write transaction. An approval counts for as long
as the operator who gave it is one; a name is given to one person only, for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import ApprovalRefused, InvalidRequest, PayoutNotWaiting
from bitcache_server.domain.payout_state import UNSIGNED_STATES, PayoutState
from bitcache_server.ledger.payout_recipes import release
from bitcache_server.models.payouts import Operator, Payout, PayoutApproval
from bitcache_server.services.deps import Deps
from bitcache_server.services.payouts import lock_payout, ready_state, reserve_of
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.secrets import hash_secret, new_operator_secret, secret_matches

APPROVALS_NEEDED = 2
MAX_NAME_CHARS = 64
MAX_REASON_CHARS = 200


@dataclass(frozen=True)
class NewOperator:
    """An operator and the secret that is shown only now."""

    operator: Operator
    secret: str


def add_operator(deps: Deps, session: Session, name: str) -> NewOperator:
    """Add an operator. Raises InvalidRequest for a name that was ever used."""
    name = check_name(name, "The operator's name", MAX_NAME_CHARS)
    if session.get(Operator, name) is not None:
        raise InvalidRequest(
            f"There is or was an operator {name!r}; approvals are kept by name, so take another."
        )
    secret = new_operator_secret()
    operator = Operator(name=name, secret_hash=hash_secret(secret), created_at=deps.clock())
    session.add(operator)
    session.flush()
    return NewOperator(operator, secret)


def remove_operator(deps: Deps, session: Session, name: str) -> Operator:
    """Let an operator's secret and open approvals count no more. Raises InvalidRequest."""
    query = select(Operator).where(Operator.name == name).with_for_update()
    operator = session.scalar(query.execution_options(populate_existing=True))
    if operator is None or operator.removed_at is not None:
        raise InvalidRequest(f"There is no operator {name[:MAX_NAME_CHARS]!r}.")
    operator.removed_at = deps.clock()
    session.flush()
    return operator


def list_operators(session: Session) -> Sequence[Operator]:
    """Return all operators by name, the removed ones as well."""
    return session.scalars(select(Operator).order_by(Operator.name)).all()


def approvals_of(session: Session, payout_id: str) -> Sequence[PayoutApproval]:
    """Return who approved a payout, those included who were removed since."""
    query = select(PayoutApproval).where(PayoutApproval.payout_id == payout_id)
    return session.scalars(
        query.order_by(PayoutApproval.approved_at, PayoutApproval.operator)
    ).all()


def approve_payout(deps: Deps, session: Session, payout_id: str, name: str, secret: str) -> Payout:
    """Book one operator's yes; the second one lets the payout go.

    Raises ApprovalRefused for a wrong name or secret and for a second yes of the same
    operator, UnknownPayout, PayoutNotWaiting.
    """
    authenticate(session, name, secret)
    payout = lock_payout(session, payout_id)
    if payout.state != PayoutState.APPROVAL:
        raise PayoutNotWaiting(f"The payout is {payout.state}; it waits for no approval.")
    if session.get(PayoutApproval, (payout.id, name)) is not None:
        raise ApprovalRefused(f"{name} approved this payout before; another operator must, too.")
    session.add(PayoutApproval(payout_id=payout.id, operator=name, approved_at=deps.clock()))
    session.flush()
    if len(_valid_approvals(session, payout.id)) >= APPROVALS_NEEDED:
        payout.state = ready_state(payout.destination).value
        session.flush()
    return payout


def reject_payout(
    deps: Deps, session: Session, payout_id: str, name: str, secret: str, reason: str = ""
) -> Payout:
    """Say no to a payout that waits for approval; its money goes back to the owner.

    Raises ApprovalRefused, UnknownPayout, PayoutNotWaiting.
    """
    authenticate(session, name, secret)
    payout = lock_payout(session, payout_id)
    if payout.state != PayoutState.APPROVAL:
        raise PayoutNotWaiting(f"The payout is {payout.state}; it waits for no approval.")
    words = f"Rejected by {name}{': ' + reason if reason else '.'}"
    return _give_back(deps, session, payout, PayoutState.REJECTED, words)


def cancel_payout(
    deps: Deps,
    session: Session,
    payout_id: str,
    reason: str = "",
    *,
    name: str = "",
    secret: str = "",
) -> Payout:
    """Take back a payout that no transaction carries; its money goes back to the owner.

    One that a restored database may have paid needs an operator's name and secret. Raises
    ApprovalRefused, UnknownPayout, and PayoutNotWaiting once a transaction was signed: that
    one may be sent by anybody who has it, so only its failure frees the money.
    """
    if name:
        authenticate(session, name, secret)
    payout = lock_payout(session, payout_id)
    if payout.state not in UNSIGNED_STATES:
        raise PayoutNotWaiting(f"The payout is {payout.state}; it cannot be taken back any more.")
    if not name and (payout.held_at is not None or payout.restored_at is not None):
        raise ApprovalRefused("It may have been paid since the backup; say who you are: --as NAME.")
    return _give_back(deps, session, payout, PayoutState.CANCELLED, reason or "Cancelled.")


def _give_back(
    deps: Deps, session: Session, payout: Payout, state: PayoutState, words: str
) -> Payout:
    release(session, reserve_of(payout), deps.clock())
    payout.state = state.value
    payout.reason = words[:MAX_REASON_CHARS]
    session.flush()
    return payout


def authenticate(session: Session, name: str, secret: str) -> None:
    """Check an operator's secret; the row is locked, so that nobody is removed meanwhile.

    Raises ApprovalRefused.
    """
    query = select(Operator).where(Operator.name == name).with_for_update(read=True)
    operator = session.scalar(query.execution_options(populate_existing=True))
    known = operator is not None and operator.removed_at is None
    stored_hash = operator.secret_hash if operator is not None else hash_secret("")
    if not secret_matches(secret.strip(), stored_hash) or not known:
        raise ApprovalRefused("There is no operator of this name with this secret.")


def _valid_approvals(session: Session, payout_id: str) -> Sequence[str]:
    query = (
        select(PayoutApproval.operator)
        .join(Operator, Operator.name == PayoutApproval.operator)
        .where(PayoutApproval.payout_id == payout_id, Operator.removed_at.is_(None))
    )
    return session.scalars(query).all()
