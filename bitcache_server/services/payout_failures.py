"""What follows when a Lightning payment failed for good: another try, or the money goes back."""

from sqlalchemy.orm import Session

from bitcache_server.domain.payout_state import PayoutState, retry_after_s
from bitcache_server.ledger.payout_recipes import release
from bitcache_server.models.payouts import Payout, WithdrawLink
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_events import tell_of_payout
from bitcache_server.services.payout_orders import MAX_TEXT_CHARS
from bitcache_server.services.payouts import reserve_of


def after_failure(
    deps: Deps, session: Session, payout: Payout, words: str, *, is_last: bool = False
) -> None:
    """Decide about a payout that waits, that no payment carries, and whose last one failed.

    Runs in the caller's write transaction, which has locked the payout. The money behind a
    link is on offer again; a Lightning address is asked for another invoice later, a few
    times; an invoice has no second try. In the end the owner has all of it back, unless the
    payout is held: one that the database has lost may have paid it. ``is_last`` tries no more.
    """
    payout.attempts += 1
    payout.reason = words[:MAX_TEXT_CHARS]
    link = session.get(WithdrawLink, payout.id, populate_existing=True)
    if link is not None:
        link.claims += 1
        payout.state, payout.destination = PayoutState.OFFERED.value, ""
        payout.attempts = 0
    elif is_last or payout.held_at is None:
        _retry_or_release(deps, session, payout, is_last)
    session.flush()


def _retry_or_release(deps: Deps, session: Session, payout: Payout, is_last: bool) -> None:
    one_time = is_last or looks_like_invoice(payout.destination)
    wait_s = retry_after_s(payout.attempts, one_time)
    if wait_s is not None:
        payout.next_try_at = deps.clock() + wait_s
        return
    release(session, reserve_of(payout), deps.clock())
    payout.state = PayoutState.FAILED.value
    tell_of_payout(deps, session, payout, "payout.failed")
