"""The only place that writes transfers: ``post`` books, ``reverse`` takes back.

Both run inside the caller's write transaction. Which entries belong together is
the business of ``recipes.py``.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import insert, select, update
from sqlalchemy.orm import InstrumentedAttribute, aliased

from bitcache_server.domain.errors import (
    AlreadyReversed,
    InsufficientBalance,
    UnknownTransfer,
    UnknownWallet,
)
from bitcache_server.domain.money import ALL_MSAT
from bitcache_server.ledger.chart import AccountKind, parse
from bitcache_server.models.ledger import NextTransferId, Transfer, Wallet
from bitcache_server.models.session import AnySession, require_write_transaction

MAX_AMOUNT_MSAT = ALL_MSAT
"""All bitcoin there will ever be. More is no amount."""


class Kind(StrEnum):
    """Why money moved. A name is stored for ever, so it never changes its meaning."""

    RECEIPT = "receipt"
    """A payer's money arrived for an invoice."""
    CONFIRMATION = "confirmation"
    """Money that was accepted on sight is confirmed."""
    SALE = "sale"
    """The merchant's part of a price."""
    COMMISSION = "commission"
    """The operator's part of a price."""
    ROUNDING = "rounding"
    """What whole sats brought above the price."""
    CLAIM = "claim"
    """Money of an invoice became a reader's balance."""
    GIFT = "gift"
    """Starter credit, or what was left of it and came back."""
    TOP_UP = "top_up"
    """Money that a reader paid in became their balance."""
    RESERVE = "reserve"
    """Money was put aside for a payout."""
    RELEASE = "release"
    """A payout that did not happen gave its money back."""
    PAYOUT = "payout"
    """Money of a payout left through a rail."""
    FEE_RETURN = "fee_return"
    """What a Lightning payment did not take of its reserve went back to the owner."""
    NETWORK_FEE = "network_fee"
    """What a payee pays for the network, or what the network took."""
    FORFEIT = "forfeit"
    """What a reader left behind in a deleted wallet."""
    DEPOSIT = "deposit"
    """The operator put money of their own into a rail, or took it out."""
    LOSS = "loss"
    """The operator made up for money that vanished after it was spent."""
    RECOVERY = "recovery"
    """Money came after all and makes up for an earlier loss."""
    REVERSAL = "reversal"
    """An earlier transfer, taken back."""


@dataclass(frozen=True)
class Entry:
    """One transfer to be booked."""

    kind: Kind
    from_account: str
    to_account: str
    amount_msat: int
    reverses_id: int | None = None


@dataclass(frozen=True)
class Posting:
    """What was booked: the group and the transfers' ids in the order of the entries."""

    group_id: str
    transfer_ids: tuple[int, ...]


def new_group_id() -> str:
    """Return a fresh id for transfers that belong together."""
    return f"gr_{secrets.token_urlsafe(16)}"


def post(
    session: AnySession,
    entries: Sequence[Entry],
    *,
    owner_id: str,
    now: int,
    group_id: str | None = None,
) -> Posting:
    """Book all entries in their order, and change the wallets among them.

    Raises InsufficientBalance or UnknownWallet; the caller's transaction must then
    end without a commit. Raises ValueError for an amount that is not positive or
    an account that is not in the chart: leave parts of zero out.
    """
    require_write_transaction(session)
    if not entries:
        raise ValueError("A posting has at least one entry.")
    for entry in entries:
        _check(entry)
    group = group_id or new_group_id()
    ids = []
    for entry in entries:
        _change_wallets(session, entry)
        ids.append(_insert(session, entry, owner_id, group, now))
    return Posting(group, tuple(ids))


def _check(entry: Entry) -> None:
    parse(entry.from_account)
    parse(entry.to_account)
    if entry.from_account == entry.to_account:
        raise ValueError(f"{entry.from_account} cannot pay itself.")
    if not 0 < entry.amount_msat <= MAX_AMOUNT_MSAT:
        raise ValueError(f"{entry.amount_msat} msat cannot be transferred.")


def _insert(session: AnySession, entry: Entry, owner_id: str, group_id: str, now: int) -> int:
    statement = (
        insert(Transfer)
        .values(
            owner_id=owner_id,
            id=NextTransferId(),
            kind=entry.kind.value,
            from_account=entry.from_account,
            to_account=entry.to_account,
            amount_msat=entry.amount_msat,
            group_id=group_id,
            reverses_id=entry.reverses_id,
            created_at=now,
        )
        .returning(Transfer.id)
    )
    return session.execute(statement).scalar_one()


#: Where the balance of each kind of account is stored.
_STORED = {AccountKind.WALLET: Wallet.balance_msat, AccountKind.GIFT: Wallet.gift_msat}


def _change_wallets(session: AnySession, entry: Entry) -> None:
    payer, payee = parse(entry.from_account), parse(entry.to_account)
    if payer.stored:
        _debit(session, _STORED[payer.kind], payer.key, entry.amount_msat)
    if payee.stored:
        _credit(session, _STORED[payee.kind], payee.key, entry.amount_msat)


def _debit(
    session: AnySession, column: InstrumentedAttribute[int], wallet_id: str, amount_msat: int
) -> None:
    statement = (
        update(Wallet)
        .where(Wallet.id == wallet_id, column >= amount_msat)
        .values({column: column - amount_msat})
        .returning(Wallet.id)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).first() is not None:
        return
    if session.scalar(select(Wallet.id).where(Wallet.id == wallet_id)) is None:
        raise UnknownWallet(f"There is no wallet {wallet_id[:64]!r}.")
    raise InsufficientBalance


def _credit(
    session: AnySession, column: InstrumentedAttribute[int], wallet_id: str, amount_msat: int
) -> None:
    statement = (
        update(Wallet)
        .where(Wallet.id == wallet_id)
        .values({column: column + amount_msat})
        .returning(Wallet.id)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).first() is None:
        raise UnknownWallet(f"There is no wallet {wallet_id[:64]!r}.")


def reverse(
    session: AnySession,
    reversed_group_id: str,
    *,
    owner_id: str,
    now: int,
    group_id: str | None = None,
) -> Posting:
    """Take back every transfer of a group by booking its opposite, last one first.

    A reversal stays: correct it by booking the original anew.
    Raises UnknownTransfer for a group that the owner has not, AlreadyReversed when
    it was taken back before, and what ``post`` raises.
    """
    require_write_transaction(session)
    originals = _unreversed(session, owner_id, reversed_group_id)
    entries = [
        Entry(Kind.REVERSAL, row.to_account, row.from_account, row.amount_msat, row.id)
        for row in originals
    ]
    return post(session, entries, owner_id=owner_id, now=now, group_id=group_id)


def entries_of(session: AnySession, owner_id: str, group_id: str) -> list[tuple[Transfer, bool]]:
    """Return the transfers of a group, the last one first, each with whether it was taken back."""
    correction = aliased(Transfer)
    rows = session.execute(
        select(Transfer, correction.id.label("correction_id"))
        .outerjoin(
            correction,
            (correction.owner_id == Transfer.owner_id) & (correction.reverses_id == Transfer.id),
        )
        .where(
            Transfer.owner_id == owner_id,
            Transfer.group_id == group_id,
            Transfer.reverses_id.is_(None),
        )
        .order_by(Transfer.id.desc())
    )
    return [(row.Transfer, row.correction_id is not None) for row in rows]


def _unreversed(session: AnySession, owner_id: str, group_id: str) -> Sequence[Transfer]:
    rows = entries_of(session, owner_id, group_id)
    if not rows:
        raise UnknownTransfer(f"{owner_id[:64]!r} has no transfers {group_id[:64]!r}.")
    open_rows = [transfer for transfer, is_reversed in rows if not is_reversed]
    if not open_rows:
        raise AlreadyReversed(f"The transfers {group_id[:64]!r} were taken back before.")
    return open_rows
