"""A reader deletes their wallet: nothing of theirs may be lost without their saying so."""

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownWallet, WalletNotEmpty
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat, msat_to_sat_ceil
from bitcache_server.ledger import chart
from bitcache_server.ledger.wallet_recipes import forfeit, lock_wallet
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.models.wallets import (
    Allowance,
    LnurlKey,
    Passkey,
    RecoveryCode,
    WalletConnection,
    WalletSession,
)
from bitcache_server.services.deps import Deps
from bitcache_server.services.offers import fee_rate_msat
from bitcache_server.services.payouts import least_msat, reserved_msat
from bitcache_server.services.wallet_connections import connection_view

#: One coin, the payee and change, as ``Rail.payout_fee_msat`` counts: 110, and 43 for the
#: longest output that addresses make today (P2WSH, P2TR).
PAYOUT_VB = 153

#: After 14 days nodes drop a transaction that no block took (Bitcoin Core, mempoolexpiry).
FORGOTTEN_AFTER_S = 14 * 86_400


def close_wallet(deps: Deps, session: Session, wallet_id: str, *, give_up_rest: bool) -> None:
    """Delete a wallet: what signs in to it, what may spend from it, and its balance.

    Runs in the caller's transaction. The ledger stays as it was booked, without anything
    that names the reader. Own money is given up only when it is too little to be
    withdrawn and the reader says so; what is left of a gift goes back to the operator.
    Raises WalletNotEmpty, UnknownWallet for one that is deleted already.
    """
    wallet = lock_wallet(session, wallet_id)
    if wallet.closed_at is not None:
        raise UnknownWallet()
    _require_nothing_on_its_way(deps, session, wallet_id)
    _require_given_up(deps, session, wallet.balance_msat, give_up_rest)
    forfeit(session, wallet_id, deps.clock())
    for row in (WalletSession, WalletConnection):
        session.execute(delete(row).where(row.wallet_id == wallet_id))
    for secret in (Passkey, RecoveryCode, LnurlKey):
        session.execute(delete(secret).where(secret.owner_id == wallet_id))
    living = update(Allowance).where(
        Allowance.wallet_id == wallet_id, Allowance.revoked_at.is_(None)
    )
    session.execute(living.values(revoked_at=deps.clock()))
    wallet.closed_at = deps.clock()
    session.flush()


def can_be_given_up(deps: Deps, session: Session, balance_msat: int) -> bool:
    """Say whether own money is there, but too little for a withdrawal and its fee."""
    totals = [
        least_msat(deps, name) + _fee_msat(deps, session, name)
        for name, rail in deps.rails.items()
        if rail.payouts_together != 0
    ]
    floor_msat = deps.settings.withdrawal_min_sat * MSAT_PER_SAT
    return 0 < balance_msat < min(totals, default=floor_msat)


def _fee_msat(deps: Deps, session: Session, rail: str) -> int:
    """Return what the smallest withdrawal costs: on-chain to the longest address, by the last
    known fee rate; over Lightning the reserve, for which nobody is asked."""
    if deps.rail(rail).payouts_together == 1:
        return deps.rail(rail).payout_fee_msat("", least_msat(deps, rail))
    rate_msat = fee_rate_msat(deps, session.get(RailStatus, rail))
    return msat_to_sat_ceil(rate_msat * PAYOUT_VB) * MSAT_PER_SAT


def _require_nothing_on_its_way(deps: Deps, session: Session, wallet_id: str) -> None:
    if reserved_msat(session, chart.wallet(wallet_id)):
        raise WalletNotEmpty("A withdrawal is on its way. Wait until it has arrived.")
    coming = exists().where(
        Invoice.wallet_id == wallet_id,
        Payment.invoice_id == Invoice.id,
        Payment.settled.is_(False),
        Payment.removed.is_(False),
        or_(
            Payment.block_height.is_not(None),
            Payment.arrived_at > deps.clock() - FORGOTTEN_AFTER_S,
        ),
    )
    connection = connection_view(deps, session, wallet_id)
    if session.scalar(select(coming)) or (connection is not None and connection.is_under_way):
        raise WalletNotEmpty("A top-up is on its way to this balance. Wait until it has arrived.")


def _require_given_up(deps: Deps, session: Session, balance_msat: int, give_up_rest: bool) -> None:
    if not balance_msat:
        return
    if not can_be_given_up(deps, session, balance_msat):
        raise WalletNotEmpty(
            f"Of your own money {format_sat(balance_msat)} is left. Withdraw it first."
        )
    if not give_up_rest:
        raise WalletNotEmpty(
            f"Of your own money {format_sat(balance_msat)} is left. Tick the box to give it up."
        )
