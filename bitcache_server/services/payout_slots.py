"""How many Lightning payouts may be open at once.

Whoever is paid can hold the payment back until its time lock ends, days later (a hold
invoice). It binds money of the operator's and a place in a channel meanwhile, at no cost to
them. So a reader has few payouts open, readers together leave room for merchants, and small
amounts, which several wallets of one person can have for nothing, leave room for larger ones.
What is in nobody's way to refuse, merchants' payouts and links that were claimed, waits.
"""

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import TooManyPayouts
from bitcache_server.domain.payout_state import OPEN_STATES, PayoutState
from bitcache_server.models.payouts import Payout
from bitcache_server.services.deps import Deps

#: What is told to whom the payouts of others are no business.
BUSY = "Too many payments are under way just now. Try again later."
_TO_READERS = Payout.owner_account.not_like("merchant:%")


#: Less than that is small: it costs little to hold many of these back.
SMALL_BELOW_MSAT = 1_000_000


def check_slots(
    deps: Deps, session: Session, owner_account: str, rail: str, amount_msat: int
) -> None:
    """Raise TooManyPayouts when a reader must wait until payouts have ended.

    Merchants and the operator are never refused: their payouts wait.
    """
    if not _is_bounded(deps, owner_account, rail):
        return
    most = deps.settings.lightning_open_payouts_per_wallet
    if not has_own_slot(deps, session, owner_account, rail):
        raise TooManyPayouts(
            f"{most} payouts of this balance are still on their way, and more at once are not sent."
            " Try again when one of them has ended."
        )
    if why_no_slot(deps, session, owner_account, rail, amount_msat):
        raise TooManyPayouts(BUSY)


def has_own_slot(deps: Deps, session: Session, owner_account: str, rail: str) -> bool:
    """Return whether a reader may have one more open.

    A link that nobody has claimed binds nothing and does not count.
    """
    if not _is_bounded(deps, owner_account, rail):
        return True
    own = _count(
        session,
        Payout.rail == rail,
        Payout.owner_account == owner_account,
        Payout.state.in_(OPEN_STATES),
        Payout.destination != "",
    )
    return own < deps.settings.lightning_open_payouts_per_wallet


def why_no_slot(
    deps: Deps, session: Session, owner_account: str, rail: str, amount_msat: int
) -> str:
    """Return why a payment of this owner's is not sent now; empty when it may be.

    Two processes that look at the same moment may send one more: the bound need not be exact.
    """
    under_way = (Payout.rail == rail, Payout.state == PayoutState.SENDING)
    most = deps.settings.lightning_open_payouts
    if _count(session, *under_way) >= most:
        return f"{most} payments are under way; it waits until one of them has ended."
    if owner_account.startswith("merchant:"):
        return ""
    for_readers, for_small = readers_share(most), small_share(most)
    if _count(session, *under_way, _TO_READERS) >= for_readers:
        return f"{for_readers} payments to readers are under way; it waits until one has ended."
    is_small = Payout.amount_msat < SMALL_BELOW_MSAT
    if amount_msat < SMALL_BELOW_MSAT and (
        _count(session, *under_way, _TO_READERS, is_small) >= for_small
    ):
        return f"{for_small} small payments are under way; it waits until one has ended."
    return ""


def readers_share(most: int) -> int:
    """Return how many of all payments may go to readers: three quarters, rounded down."""
    return most * 3 // 4


def small_share(most: int) -> int:
    """Return how many of all may be small ones to readers: half, rounded down."""
    return most // 2


def _is_bounded(deps: Deps, owner_account: str, rail: str) -> bool:
    return owner_account.startswith("wallet:") and deps.rail(rail).payouts_together == 1


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(Payout).where(*conditions)
    return int(session.execute(query).scalar_one())
