"""Who gets what of a price: merchant, co-authors, operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.ledger.chart import COMMISSION, AccountKind, parse
from bitcache_server.ledger.journal import MAX_AMOUNT_MSAT, Kind

_PAYEES = (AccountKind.MERCHANT, AccountKind.COMMISSION)


@dataclass(frozen=True)
class Part:
    """What one account gets."""

    account: str
    amount_msat: int

    @property
    def kind(self) -> Kind:
        """Return why money moves to this account."""
        return Kind.COMMISSION if self.account == COMMISSION else Kind.SALE


def price_of(parts: Sequence[Part]) -> int:
    """Return the price in msat that the parts add up to.

    Raises ValueError when they are no price: a part of zero, an account that sells
    nothing, one account twice, or a sum that is not positive or more than there can be.
    """
    accounts = [part.account for part in parts]
    if len(set(accounts)) != len(accounts):
        raise ValueError("One account has two parts of a price.")
    if any(parse(account).kind not in _PAYEES for account in accounts):
        raise ValueError("A price is paid to merchants and the operator only.")
    if any(part.amount_msat <= 0 for part in parts):
        raise ValueError("Leave parts of zero out of a price.")
    total_msat = sum(part.amount_msat for part in parts)
    if not 0 < total_msat <= MAX_AMOUNT_MSAT:
        raise ValueError(f"{total_msat} msat cannot be spent.")
    return total_msat
