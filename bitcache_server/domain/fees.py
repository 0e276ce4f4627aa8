"""The operator's commission and the shares of co-authors: the one place to change the rules."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.domain.errors import ConfigurationError

PARTS_PER_MILLION = 1_000_000


@dataclass(frozen=True)
class CommissionRule:
    """A share of the price in parts per million (10,000 is one per cent), and its bounds."""

    share_ppm: int = 10_000
    min_msat: int = 0
    """At least this much of a sale, or all of a price that is smaller."""
    max_msat: int | None = None
    """At most this much; None is no bound."""

    def __post_init__(self) -> None:
        if not 0 <= self.share_ppm <= PARTS_PER_MILLION:
            raise ConfigurationError("The commission must be between 0 and 1,000,000 ppm.")
        if self.min_msat < 0:
            raise ConfigurationError("The smallest commission must not be negative.")
        if self.max_msat is not None and self.max_msat < self.min_msat:
            raise ConfigurationError("The largest commission must not be below the smallest.")

    def commission_msat(self, amount_msat: int) -> int:
        """Return the operator's part of a sale, rounded down; the rest is the merchant's.

        The minimum lifts it, the maximum cuts it, and it is never more than the price.
        Raises ValueError for a negative amount, where rounding down would mean
        rounding away from zero: what is given back repeats the part that was booked.
        """
        if amount_msat < 0:
            raise ValueError("A commission is taken from a sale, which is never negative.")
        share_msat = max(self.min_msat, amount_msat * self.share_ppm // PARTS_PER_MILLION)
        if self.max_msat is not None:
            share_msat = min(share_msat, self.max_msat)
        return min(share_msat, amount_msat)

    def split_msat(self, amount_msat: int) -> tuple[int, int]:
        """Return (merchant's part, operator's part); together they are the whole."""
        commission = self.commission_msat(amount_msat)
        return amount_msat - commission, commission


def shares_msat(net_msat: int, shares_ppm: Sequence[int]) -> tuple[int, ...]:
    """Return each share of what is left after the commission, rounded down.

    Together they are never more than the whole when the shares are at most 1,000,000
    ppm; what they leave stays with the merchant who sells. Raises ValueError beyond that.
    """
    if net_msat < 0 or min(shares_ppm, default=0) < 0 or sum(shares_ppm) > PARTS_PER_MILLION:
        raise ValueError("Shares are parts of one whole that is not negative.")
    return tuple(net_msat * share // PARTS_PER_MILLION for share in shares_ppm)
