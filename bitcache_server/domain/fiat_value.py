"""What msat were worth in a national currency, and the tax that a price has in it."""

from decimal import Decimal
from fractions import Fraction

from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.domain.money import MSAT_PER_BTC, exponent_of


def fiat_value_minor(amount_msat: int, price_per_btc: Decimal, currency: str) -> int:
    """Return the value in minor units, rounded half to even.

    ``price_per_btc`` is in major units. Raises UnknownCurrency.
    """
    exact = Fraction(amount_msat, MSAT_PER_BTC) * Fraction(price_per_btc)
    scale: int = 10 ** exponent_of(currency)
    return round(exact * scale)


def tax_within_minor(gross_minor: int, tax_ppm: int) -> int:
    """Return the tax that a price has in it, rounded half to even; the rest is the net price."""
    return round(Fraction(gross_minor * tax_ppm, PARTS_PER_MILLION + tax_ppm))


def decimal_text(minor: int, currency: str) -> str:
    """Return minor units as a plain decimal number, with the currency's number of decimals."""
    return f"{Decimal(minor).scaleb(-exponent_of(currency)):f}"


def msat_as_sat(amount_msat: int) -> str:
    """Return msat as sats with three decimals: exact, and the same in each line of a table."""
    return f"{Decimal(amount_msat).scaleb(-3):f}"
