"""The contract of a source of exchange rates."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True)
class Rate:
    """What one bitcoin costs, in major units of the currency."""

    currency: str
    price_per_btc: Decimal
    """Exact, at most 20 significant digits."""
    as_of: int
    """When they had answered, in Unix seconds."""
    sources: tuple[str, ...]
    """Whose answers stand behind the price."""


class RateSourceError(Exception):
    """A source gave no usable answer. The text never carries a URL: it may hold a key."""


class RateSource(Protocol):
    """One place to ask. May be slow, wrong or away; the median copes with all three."""

    @property
    def name(self) -> str:
        """Return the name that operators see: ``kraken``."""

    def fetch(self, currency: str) -> Decimal:
        """Return the price of one bitcoin in major units of an ISO 4217 currency.

        Raises RateSourceError. Is called from several threads at once.
        """
