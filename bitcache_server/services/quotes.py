"""From a price to msat, with the last good rate. No rate source is ever asked here."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidPrice, RateUnavailable
from bitcache_server.domain.money import MSAT_PER_SAT, SAT, Fiat, fiat_to_msat_ceil, parse_price
from bitcache_server.models.operations import StoredRate
from bitcache_server.services.deps import Deps


@dataclass(frozen=True)
class UsedRate:
    """The rate behind an amount: major units for one bitcoin, and since when."""

    currency: str
    price_per_btc: str
    as_of: int


@dataclass(frozen=True)
class Quote:
    """A price in msat; None where fiat has no rate yet, or one that makes it too dear."""

    amount_msat: int | None
    rate: UsedRate | None

    def must(self) -> int:
        """Return the amount or raise RateUnavailable or InvalidPrice."""
        if self.amount_msat is None and self.rate is not None:
            raise InvalidPrice("At today's rate this is more than an item may cost.")
        if self.amount_msat is None:
            raise RateUnavailable("No rate source has answered yet. Try again in a minute.")
        return self.amount_msat


def parse_item_price(price: str | int, currency: str) -> tuple[str, int]:
    """Return (currency or SAT, amount in minor units or sats) from a merchant's input."""
    parsed = parse_price(price, currency)
    if isinstance(parsed, Fiat):
        return parsed.currency, parsed.amount_minor
    return SAT, parsed // MSAT_PER_SAT


def quote(deps: Deps, session: Session, currency: str, amount: int) -> Quote:
    """Return what an item costs now: fiat rounded up to the msat.

    The last good rate sells, with its age in the invoice, until it is older than
    the operator allows.
    """
    if currency == SAT:
        return Quote(amount * MSAT_PER_SAT, None)
    stored = session.get(StoredRate, currency)
    if stored is None or deps.clock() - stored.as_of > deps.settings.rate_max_age_s:
        return Quote(None, None)
    rate = Decimal(stored.price_per_btc)
    used = UsedRate(currency, stored.price_per_btc, stored.as_of)
    try:
        return Quote(fiat_to_msat_ceil(Fiat(amount, currency), rate), used)
    except InvalidPrice:
        # The rate fell since the item was priced; a list of items must still be readable.
        return Quote(None, used)
