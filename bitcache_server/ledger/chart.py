"""The chart of accounts: every name that may stand in a transfer.

A transfer decreases one account and increases another, so the sum over all
accounts is zero. Clearing accounts go negative by what a rail holds for us;
a merchant's goes negative where the merchant's own wallet received the money
and the commission is owed.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class AccountKind(StrEnum):
    """What an account stands for; the part of its name before the colon."""

    WALLET = "wallet"
    """A reader's own money."""
    GIFT = "gift"
    """What is left of a reader's starter credit: spent first, never withdrawn."""
    MERCHANT = "merchant"
    """What the operator owes a merchant; negative: what the merchant owes."""
    INVOICE = "invoice"
    """Money received for an invoice and not yet sold, claimed or returned."""
    PAYOUT = "payout"
    """Money reserved for a payout until it is gone or comes back."""
    CLEARING = "clearing"
    """Confirmed money at a rail, as a negative number."""
    UNCONFIRMED = "unconfirmed"
    """Money accepted on sight that a rail has not confirmed, as a negative number."""
    COMMISSION = "commission"
    """The operator's earnings."""
    ROUNDING = "rounding"
    """What whole sats brought above a price in millisats."""
    NETWORK_FEES = "network_fees"
    """What payees paid for the network, less what the network took."""
    PROMOTION = "promotion"
    """Starter credit given, as a negative number."""
    SUSPENSE = "suspense"
    """Money that cannot be placed."""
    LOSS = "loss"
    """What the operator lost to payments that vanished, as a negative number."""
    OPENING = "opening"
    """The other side of balances that were brought in from elsewhere."""


_WITH_ID = {
    AccountKind.WALLET,
    AccountKind.GIFT,
    AccountKind.MERCHANT,
    AccountKind.INVOICE,
    AccountKind.PAYOUT,
}
_WITH_RAIL = {AccountKind.CLEARING, AccountKind.UNCONFIRMED}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RAIL = re.compile(r"[a-z][a-z0-9_]{0,15}")


@dataclass(frozen=True)
class Account:
    """A name taken apart: ``wallet:wa_1`` is a wallet with the key ``wa_1``."""

    kind: AccountKind
    key: str = ""

    def __post_init__(self) -> None:
        if not _key_fits(self.kind, self.key):
            raise ValueError(f"{str(self)[:100]!r} is no account of the chart.")

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}" if self.key else self.kind.value

    @property
    def stored(self) -> bool:
        """Whether the balance is stored: for accounts that could be overdrawn."""
        return self.kind in (AccountKind.WALLET, AccountKind.GIFT)


def _key_fits(kind: AccountKind, key: str) -> bool:
    if kind in _WITH_ID:
        return _ID.fullmatch(key) is not None
    if kind in _WITH_RAIL:
        return _RAIL.fullmatch(key) is not None
    return key == ""


def parse(name: str) -> Account:
    """Return the account behind a name; raise ValueError for a name that is not in the chart."""
    prefix, colon, key = name.partition(":")
    try:
        kind = AccountKind(prefix)
    except ValueError:
        raise ValueError(f"{name[:100]!r} is no account of the chart.") from None
    if bool(colon) != bool(key):
        raise ValueError(f"{name[:100]!r} is no account of the chart.")
    return Account(kind, key)


def wallet(wallet_id: str) -> str:
    """Return the account of a reader's wallet."""
    return str(Account(AccountKind.WALLET, wallet_id))


def gift(wallet_id: str) -> str:
    """Return the account of a wallet's starter credit."""
    return str(Account(AccountKind.GIFT, wallet_id))


def payout(payout_id: str) -> str:
    """Return the account of a payout."""
    return str(Account(AccountKind.PAYOUT, payout_id))


def merchant(merchant_id: str) -> str:
    """Return the account of a merchant."""
    return str(Account(AccountKind.MERCHANT, merchant_id))


def invoice(invoice_id: str) -> str:
    """Return the account of an invoice."""
    return str(Account(AccountKind.INVOICE, invoice_id))


def clearing(rail: str) -> str:
    """Return the account of a rail's confirmed money."""
    return str(Account(AccountKind.CLEARING, rail))


def unconfirmed(rail: str) -> str:
    """Return the account of a rail's money that was accepted on sight."""
    return str(Account(AccountKind.UNCONFIRMED, rail))


COMMISSION = AccountKind.COMMISSION.value
ROUNDING = AccountKind.ROUNDING.value
NETWORK_FEES = AccountKind.NETWORK_FEES.value
PROMOTION = AccountKind.PROMOTION.value
SUSPENSE = AccountKind.SUSPENSE.value
LOSS = AccountKind.LOSS.value
OPENING = AccountKind.OPENING.value
