"""A reader takes their own money out. Starter credit stays: it can only be spent.

Quote and request ask the rail, which may ask a node, so they run outside a transaction;
``request_withdrawal`` opens its own. What no payment carries yet can be taken back.
"""

from collections.abc import Set
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    InsufficientBalance,
    InvalidRequest,
    PayoutFeeChanged,
    PayoutNotWaiting,
    UnknownPayout,
    UnknownWallet,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.payout_state import UNSIGNED_STATES
from bitcache_server.ledger import chart
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.payouts import Payout, WithdrawLink
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.decoding import Decoded, looks_like_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payouts import (
    Destination,
    PayoutRequest,
    all_of_it,
    asked_amount_msat,
    check_limits,
    cost_msat,
    earlier_payout,
    find_destination,
    find_rail,
    left_today_msat,
    lock_payout,
    open_payout,
    payouts_of,
    same_payout,
    whole_sats,
)
from bitcache_server.services.withdraw_destination import read_invoice, refuse_used_invoice

__all__ = [
    "WithdrawalQuote",
    "can_be_taken_back",
    "payouts_of",
    "quote_withdrawal",
    "request_withdrawal",
    "take_back",
]


@dataclass(frozen=True)
class WithdrawalQuote:
    """What a withdrawal costs now; shown to the reader before they ask for it."""

    rail: str
    address: str
    """In its normal form."""
    amount_msat: int
    """What arrives; in whole sats, unless an invoice asks for another amount."""
    fee_msat: int
    """What is put aside for the network, on top."""
    fee_may_return: bool
    """What is not used of the fee comes back."""
    invoice: Decoded | None
    """What the invoice says; None for every other destination."""

    @property
    def is_fixed(self) -> bool:
        """Return whether an invoice asks for this amount and no other."""
        return self.invoice is not None and self.invoice.amount_msat is not None

    @property
    def amount_sat(self) -> int:
        """Return what arrives in sats, rounded down."""
        return self.amount_msat // MSAT_PER_SAT

    @property
    def total_msat(self) -> int:
        """Return what leaves the balance."""
        return self.amount_msat + self.fee_msat


def quote_withdrawal(
    deps: Deps, session: Session, wallet_id: str, address: str, amount_sat: int | None
) -> WithdrawalQuote:
    """Return what it costs to withdraw an amount, or all that can go now (None).

    Changes nothing. Raises AddressInvalid, InvoiceUsed, PayoutLimit, InsufficientBalance,
    PayoutsUnavailable, UnknownWallet.
    """
    session.rollback()
    wished_msat = None if amount_sat is None else amount_sat * MSAT_PER_SAT
    destination = find_destination(deps, address, wished_msat)
    invoice = read_invoice(deps, destination.address)
    if invoice is not None:
        refuse_used_invoice(session, destination.rail, invoice)
    balance_msat = open_wallet_row(session, wallet_id).balance_msat
    amount_msat = _fixed_or_wished_msat(destination, wished_msat)
    if amount_msat is not None and amount_msat > balance_msat:
        # Said before any limit: what is not there cannot be withdrawn tomorrow either.
        require_balance(balance_msat, amount_msat + destination.fee_msat)
    if amount_msat is None:
        left_msat = left_today_msat(deps, session, chart.wallet(wallet_id))
        session.rollback()
        destination, amount_msat = _all(deps, destination, balance_msat, left_msat)
    check_limits(deps, session, chart.wallet(wallet_id), destination.rail, amount_msat)
    found = WithdrawalQuote(
        destination.rail,
        destination.address,
        amount_msat,
        destination.fee_msat,
        fee_may_return=deps.rail(destination.rail).payouts_together == 1,
        invoice=invoice,
    )
    require_balance(balance_msat, found.total_msat)
    return found


def _fixed_or_wished_msat(destination: Destination, wished_msat: int | None) -> int | None:
    """Return what is to arrive; None for all that can go. Raises InvalidRequest."""
    fixed_msat = destination.amount_msat
    if fixed_msat is None:
        if wished_msat is None and looks_like_invoice(destination.address):
            raise InvalidRequest("This invoice leaves the amount to you. Enter one.")
        return wished_msat
    if wished_msat not in (None, whole_sats(fixed_msat)):
        raise InvalidRequest(
            f"The invoice asks for {format_sat(fixed_msat)}. Leave the amount empty."
        )
    return fixed_msat


def _all(
    deps: Deps, destination: Destination, balance_msat: int, left_msat: int
) -> tuple[Destination, int]:
    """Return what can go now, and the fee for that."""
    amount_msat, fee_msat = all_of_it(deps, destination, balance_msat)
    if amount_msat > left_msat:
        amount_msat = whole_sats(left_msat)
        fee_msat = cost_msat(deps, destination.rail, destination.address, amount_msat)
    return replace(destination, fee_msat=fee_msat), amount_msat


def request_withdrawal(
    deps: Deps,
    session: Session,
    wallet_id: str,
    *,
    address: str,
    amount_sat: int | None,
    fee_msat: int,
    idempotency_key: str,
) -> Payout:
    """Reserve a withdrawal; the jobs send it. ``fee_msat`` is the fee that was shown.

    The amount may only be left out for an invoice that asks for one.

    The same key returns the same payout. Opens its own transaction. Raises
    PayoutFeeChanged with the new fee when it has risen, IdempotencyConflict, and what
    ``quote_withdrawal`` raises; then nothing was booked.
    """
    session.rollback()
    owner = chart.wallet(wallet_id)
    wished_msat = None if amount_sat is None else amount_sat * MSAT_PER_SAT
    rail, normal = find_rail(deps, address)
    invoice = read_invoice(deps, normal)
    fixed = Destination(rail, normal, fee_msat, asked_amount_msat(deps, normal))
    amount_msat = _fixed_or_wished_msat(fixed, wished_msat)
    if amount_msat is None:
        raise InvalidRequest("Enter the amount.")
    earlier = earlier_payout(session, owner, idempotency_key)
    if earlier is not None:
        return same_payout(earlier, normal, amount_msat)
    session.rollback()
    now_msat = cost_msat(deps, rail, normal, amount_msat)
    if now_msat > fee_msat:
        raise PayoutFeeChanged(f"The network now costs {format_sat(now_msat)}.")
    # What was shown is what is paid, also when the network became cheaper meanwhile.
    wanted = PayoutRequest(owner, fixed, amount_msat, idempotency_key)
    with write_transaction(session):
        wallet = open_wallet_row(session, wallet_id, lock=True)
        earlier = earlier_payout(session, owner, idempotency_key)
        if earlier is not None:
            return same_payout(earlier, normal, amount_msat)
        if invoice is not None:
            refuse_used_invoice(session, rail, invoice)
        require_balance(wallet.balance_msat, wanted.total_msat)
        return open_payout(deps, session, wanted)


def can_be_taken_back(session: Session, wallet_id: str) -> Set[str]:
    """Return which withdrawals of a wallet no payment carries: their money is here for sure.

    One that is held after a restored backup may have been paid. Links have a way of their own.
    """
    query = (
        select(Payout.id)
        .outerjoin(WithdrawLink, WithdrawLink.payout_id == Payout.id)
        .where(
            Payout.owner_account == chart.wallet(wallet_id),
            Payout.state.in_(UNSIGNED_STATES),
            Payout.held_at.is_(None),
            # Of one in a restored database only the node knows whether it was paid.
            Payout.restored_at.is_(None),
            WithdrawLink.payout_id.is_(None),
        )
    )
    return frozenset(session.scalars(query))


def take_back(deps: Deps, session: Session, wallet_id: str, payout_id: str) -> None:
    """Take a reader's own withdrawal back, inside the caller's write transaction.

    Whoever prepares a payment at this moment finds the payout gone when it is to be stored,
    and sends nothing. Raises UnknownPayout for somebody else's, PayoutNotWaiting once a
    payment was stored.
    """
    payout = lock_payout(session, payout_id)
    if payout.owner_account != chart.wallet(wallet_id):
        raise UnknownPayout()
    if payout.state not in UNSIGNED_STATES:
        raise PayoutNotWaiting("It does not wait any more, so it cannot be taken back.")
    if payout_id not in can_be_taken_back(session, wallet_id):
        raise PayoutNotWaiting("It may be on its way, so it cannot be taken back now.")
    cancel_payout(deps, session, payout_id, "You took it back.")


def open_wallet_row(session: Session, wallet_id: str, lock: bool = False) -> Wallet:
    """Return a wallet that was not deleted, locked on request; raise UnknownWallet."""
    query = select(Wallet).where(Wallet.id == wallet_id, Wallet.closed_at.is_(None))
    if lock:
        query = query.with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise UnknownWallet(f"There is no wallet {wallet_id[:64]!r}.")
    return found


def require_balance(balance_msat: int, total_msat: int) -> None:
    """Raise InsufficientBalance, in a reader's words, when own money does not suffice."""
    if balance_msat < total_msat:
        raise InsufficientBalance(
            f"Your own money is {format_sat(balance_msat)}; with the fee reserve this takes "
            f"{format_sat(total_msat)}. A gift cannot be withdrawn."
        )
