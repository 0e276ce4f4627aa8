"""What still stands between an operator's gifts and whoever is given their links."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.money import format_sat
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.domain.words import count
from bitcache_server.models.payouts import Operator, Payout
from bitcache_server.rails.lightning.rail import RAIL_NAME, LightningRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import APPROVALS_NEEDED
from bitcache_server.services.withdraw_links import NewLink


@dataclass(frozen=True)
class GiftOutlook:
    """What is needed before the links work, in sentences; nothing where they work now."""

    for_approval: frozenset[str]
    """The payouts that wait for operators."""
    notes: tuple[str, ...]


def gift_outlook(deps: Deps, session: Session, made: Sequence[NewLink]) -> GiftOutlook:
    """Look at gifts that were just made, and whether the node could pay them all now.

    Opens its own transaction, and asks the node after it. What the node does not tell is
    left out.
    """
    session.rollback()
    query = select(Payout).where(Payout.id.in_([link.payout_id for link in made]))
    payouts = session.scalars(query).all()
    waiting = frozenset(p.id for p in payouts if p.state == PayoutState.APPROVAL)
    needed_msat = sum(payout.amount_msat + payout.fee_msat for payout in payouts)
    is_operator = Operator.removed_at.is_(None)
    operators = session.scalar(select(func.count()).select_from(Operator).where(is_operator)) or 0
    session.rollback()
    notes = [*_about_approval(len(waiting), operators), *_about_money(deps, needed_msat)]
    return GiftOutlook(waiting, tuple(notes))


def _about_approval(waiting: int, operators: int) -> list[str]:
    if not waiting:
        return []
    links = count(waiting, "link pays", "links pay")
    note = (
        f"{links} nothing before {APPROVALS_NEEDED} operators have approved, as large sums need"
        " (payout_approval_above_sat): `bitcache payout approve PAYOUT --as NAME`."
    )
    if operators >= APPROVALS_NEEDED:
        return [note]
    known = count(operators, "operator is", "operators are")
    return [note, f"So far {known} known here: `bitcache operator add NAME`."]


def _about_money(deps: Deps, needed_msat: int) -> list[str]:
    rail = deps.rails.get(RAIL_NAME)
    if not isinstance(rail, LightningRail) or rail.backend is None:
        return []
    try:
        spendable_msat = rail.backend.funds().spendable_msat
    except RailError as error:
        return [f"Whether the node has the money is not known now: {error.detail}"]
    if spendable_msat >= needed_msat:
        return []
    return [
        f"The Lightning node can send {format_sat(spendable_msat)}; with the fee reserve this "
        f"takes {format_sat(needed_msat)}. Put money into it before somebody claims it."
    ]
