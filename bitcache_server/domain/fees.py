"""The operator's commission: the one place to change the rule."""

from dataclasses import dataclass

from bitcache_server.domain.errors import ConfigurationError

PARTS_PER_MILLION = 1_000_000


@dataclass(frozen=True)
class CommissionRule:
    """A share of the price in parts per million: 10,000 is one per cent."""

    share_ppm: int = 10_000

    def __post_init__(self) -> None:
        if not 0 <= self.share_ppm <= PARTS_PER_MILLION:
            raise ConfigurationError("The commission must be between 0 and 1,000,000 ppm.")

    def commission_msat(self, amount_msat: int) -> int:
        """Return the operator's part of a sale, rounded down; the rest is the merchant's.

        Raises ValueError for a negative amount, where rounding down would mean
        rounding away from zero: what is given back repeats the part that was booked.
        """
        if amount_msat < 0:
            raise ValueError("A commission is taken from a sale, which is never negative.")
        return amount_msat * self.share_ppm // PARTS_PER_MILLION

    def split_msat(self, amount_msat: int) -> tuple[int, int]:
        """Return (merchant's part, operator's part); together they are the whole."""
        commission = self.commission_msat(amount_msat)
        return amount_msat - commission, commission
