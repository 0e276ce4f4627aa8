"""A rate that never changes, for tests and the demo."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from bitcache_server.rates.base import RateSourceError


@dataclass(frozen=True)
class FixedRates:
    """Answers with the prices it was given, for instance ``{"USD": Decimal("1000")}``."""

    prices: Mapping[str, Decimal]
    name: str = "fixed"

    def fetch(self, currency: str) -> Decimal:
        """Return the given price; raise RateSourceError where there is none."""
        try:
            return self.prices[currency]
        except KeyError:
            raise RateSourceError(f"has no rate for {currency}") from None
