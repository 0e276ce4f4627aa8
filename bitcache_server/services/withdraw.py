"""A reader takes their own money out. Starter credit stays: it can only be spent.

Both functions ask the rail, which may ask a node, so they run outside a transaction;
``request_withdrawal`` opens its own.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InsufficientBalance, PayoutFeeChanged, UnknownWallet
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.ledger import chart
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.payouts import (
    Destination,
    PayoutRequest,
    check_limits,
    earlier_payout,
    find_destination,
    find_rail,
    left_today_msat,
    open_payout,
    payouts_of,
    same_payout,
    whole_sats,
)

__all__ = ["WithdrawalQuote", "payouts_of", "quote_withdrawal", "request_withdrawal"]


@dataclass(frozen=True)
class WithdrawalQuote:
    """What a withdrawal costs now; shown to the reader before they ask for it."""

    rail: str
    address: str
    """In its normal form."""
    amount_msat: int
    """What arrives, in whole sats."""
    fee_msat: int
    """What the network costs, paid on top."""

    @property
    def amount_sat(self) -> int:
        """Return what arrives in sats."""
        return self.amount_msat // MSAT_PER_SAT

    @property
    def total_msat(self) -> int:
        """Return what leaves the balance."""
        return self.amount_msat + self.fee_msat


def quote_withdrawal(
    deps: Deps, session: Session, wallet_id: str, address: str, amount_sat: int | None
) -> WithdrawalQuote:
    """Return what it costs to withdraw an amount, or all that can go now (None).

    Changes nothing. Raises AddressInvalid, PayoutLimit, InsufficientBalance,
    PayoutsUnavailable, UnknownWallet.
    """
    session.rollback()
    destination = find_destination(deps, address)
    balance_msat = _open_wallet(session, wallet_id).balance_msat
    if amount_sat is None:
        left_msat = left_today_msat(deps, session, chart.wallet(wallet_id))
        amount_msat = whole_sats(min(balance_msat - destination.fee_msat, left_msat))
    else:
        amount_msat = amount_sat * MSAT_PER_SAT
    check_limits(deps, session, chart.wallet(wallet_id), amount_msat)
    found = WithdrawalQuote(
        destination.rail, destination.address, amount_msat, destination.fee_msat
    )
    _require_balance(balance_msat, found.total_msat)
    return found


def request_withdrawal(
    deps: Deps,
    session: Session,
    wallet_id: str,
    *,
    address: str,
    amount_sat: int,
    fee_msat: int,
    idempotency_key: str,
) -> Payout:
    """Reserve a withdrawal; the jobs send it. ``fee_msat`` is the fee that was shown.

    The same key returns the same payout. Opens its own transaction. Raises
    PayoutFeeChanged with the new fee when it has risen, IdempotencyConflict, and what
    ``quote_withdrawal`` raises; then nothing was booked.
    """
    session.rollback()
    owner, amount_msat = chart.wallet(wallet_id), amount_sat * MSAT_PER_SAT
    rail, normal = find_rail(deps, address)
    earlier = earlier_payout(session, owner, idempotency_key)
    if earlier is not None:
        return same_payout(earlier, normal, amount_msat)
    session.rollback()
    now_msat = find_destination(deps, normal).fee_msat
    if now_msat > fee_msat:
        raise PayoutFeeChanged(f"The network now costs {format_sat(now_msat)}.")
    # What was shown is what is paid, also when the network became cheaper meanwhile.
    wanted = PayoutRequest(owner, Destination(rail, normal, fee_msat), amount_msat, idempotency_key)
    with write_transaction(session):
        wallet = _open_wallet(session, wallet_id, lock=True)
        earlier = earlier_payout(session, owner, idempotency_key)
        if earlier is not None:
            return same_payout(earlier, normal, amount_msat)
        _require_balance(wallet.balance_msat, wanted.total_msat)
        return open_payout(deps, session, wanted)


def _open_wallet(session: Session, wallet_id: str, lock: bool = False) -> Wallet:
    query = select(Wallet).where(Wallet.id == wallet_id, Wallet.closed_at.is_(None))
    if lock:
        query = query.with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise UnknownWallet(f"There is no wallet {wallet_id[:64]!r}.")
    return found


def _require_balance(balance_msat: int, total_msat: int) -> None:
    if balance_msat < total_msat:
        raise InsufficientBalance(
            f"Of your own money {format_sat(balance_msat)} are there; with the network's fee "
            f"{format_sat(total_msat)} are needed. Starter credit cannot be withdrawn."
        )
