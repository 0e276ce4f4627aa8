"""A reader deletes their wallet: nothing of theirs may be lost without their saying so."""

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownWallet, WalletNotEmpty
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.ledger import chart
from bitcache_server.ledger.wallet_recipes import forfeit, lock_wallet
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.models.wallets import Allowance, Passkey, RecoveryCode, WalletSession
from bitcache_server.services.deps import Deps
from bitcache_server.services.payouts import reserved_msat


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
    _require_nothing_on_its_way(session, wallet_id)
    _require_given_up(deps, wallet.balance_msat, give_up_rest)
    forfeit(session, wallet_id, deps.clock())
    for secret in (WalletSession, Passkey, RecoveryCode):
        session.execute(delete(secret).where(secret.wallet_id == wallet_id))
    living = update(Allowance).where(
        Allowance.wallet_id == wallet_id, Allowance.revoked_at.is_(None)
    )
    session.execute(living.values(revoked_at=deps.clock()))
    wallet.closed_at = deps.clock()
    session.flush()


def can_be_given_up(deps: Deps, balance_msat: int) -> bool:
    """Say whether own money is there, but too little for a withdrawal."""
    return 0 < balance_msat < deps.settings.withdrawal_min_sat * MSAT_PER_SAT


def _require_nothing_on_its_way(session: Session, wallet_id: str) -> None:
    if reserved_msat(session, chart.wallet(wallet_id)):
        raise WalletNotEmpty("A withdrawal is on its way. Wait until it has arrived.")
    coming = exists().where(
        Invoice.wallet_id == wallet_id,
        Payment.invoice_id == Invoice.id,
        Payment.settled.is_(False),
        Payment.removed.is_(False),
    )
    if session.scalar(select(coming)):
        raise WalletNotEmpty("A top-up is on its way to this balance. Wait until it has arrived.")


def _require_given_up(deps: Deps, balance_msat: int, give_up_rest: bool) -> None:
    if not balance_msat:
        return
    if not can_be_given_up(deps, balance_msat):
        raise WalletNotEmpty(
            f"{format_sat(balance_msat)} of your own money are left. Withdraw them first."
        )
    if not give_up_rest:
        raise WalletNotEmpty(
            f"{format_sat(balance_msat)} of your own money are left. Tick the box to give them up."
        )
