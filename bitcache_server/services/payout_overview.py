"""A merchant's money with us, as their payouts page shows it. Only reads."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.payout_state import COUNTED_STATES, OPEN_STATES
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.payouts import Payout
from bitcache_server.services.books import merchant_balance_msat
from bitcache_server.services.deps import Deps
from bitcache_server.services.merchant_lock import payable_msat
from bitcache_server.settings import Settings

_EXPLORERS = {
    "mainnet": "https://mempool.space/tx/",
    "testnet": "https://mempool.space/testnet4/tx/",
    "signet": "https://mempool.space/signet/tx/",
}


@dataclass(frozen=True)
class PayoutOverview:
    """What is there, what can go, what is on its way. Amounts in msat."""

    balance_msat: int
    """Negative is what the merchant owes: the commission of payments into their own wallet."""
    payable_msat: int
    """What of it can be paid out now."""
    on_the_way_msat: int
    """Amounts and reserved fees of payouts that have not ended."""
    next_at: int | None
    """When the schedule looks again; None without one, or without a destination."""


def payout_overview(deps: Deps, session: Session, merchant: Merchant) -> PayoutOverview:
    """Return what a merchant has with us now."""
    owner = chart.merchant(merchant.id)
    open_sum = func.sum(Payout.amount_msat + Payout.fee_msat)
    mine = Payout.owner_account == owner
    on_the_way = session.scalar(select(open_sum).where(mine, Payout.state.in_(OPEN_STATES)))
    return PayoutOverview(
        balance_msat=merchant_balance_msat(session, merchant.id),
        payable_msat=payable_msat(deps, session, merchant.id),
        on_the_way_msat=int(on_the_way or 0),
        next_at=_next_at(deps, session, merchant, owner),
    )


def _next_at(deps: Deps, session: Session, merchant: Merchant, owner: str) -> int | None:
    if not merchant.payout_every_s or merchant.payout_address is None:
        return None
    newest = select(func.max(Payout.created_at)).where(
        Payout.owner_account == owner, Payout.state.in_(COUNTED_STATES)
    )
    at = session.scalar(newest)
    return max(deps.clock(), (at or 0) + merchant.payout_every_s)


def transaction_url(settings: Settings, rail: str, transaction: str | None) -> str | None:
    """Return where a transaction can be looked up; None for a Lightning payment, or nowhere."""
    base = settings.explorer_url or _EXPLORERS.get(settings.network, "")
    if rail != "onchain" or not transaction or not base:
        return None
    return f"{base}{transaction}"
