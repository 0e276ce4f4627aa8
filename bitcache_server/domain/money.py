"""Amounts: integers only, every rounding with its direction.

The core unit is the millisatoshi (msat). Fiat is an integer of minor units
with its ISO 4217 code and exponent. A rate is an exact decimal: the price of
one bitcoin in major units of the currency.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bitcache_server.domain.errors import InvalidPrice, UnknownCurrency

MSAT_PER_SAT = 1_000
SAT_PER_BTC = 100_000_000
MSAT_PER_BTC = SAT_PER_BTC * MSAT_PER_SAT
#: All bitcoin there will ever be; it fits a signed 64-bit integer four times.
ALL_MSAT = 21_000_000 * MSAT_PER_BTC

#: No single item costs more than this; anything above is a slip of the pen.
MAX_PRICE_MSAT = 10 * MSAT_PER_BTC
#: The same bound for a price in a national currency while no rate is known:
#: above ten bitcoin in the weakest currency of the list, and small enough for a BIGINT.
MAX_FIAT_MAJOR = 10**12
#: What merchants write for a price in whole satoshis. It is no ISO 4217 code.
SAT = "SAT"
#: Bounds of a believable rate, in major units for one bitcoin.
MIN_RATE = Decimal("1e-8")
MAX_RATE = Decimal("1e15")

#: ISO 4217 exponents of the currencies that items can be priced in.
CURRENCY_EXPONENTS = {
    "AED": 2, "ARS": 2, "AUD": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0,
    "CNY": 2, "COP": 2, "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "GHS": 2, "HKD": 2,
    "HUF": 2, "IDR": 2, "ILS": 2, "INR": 2, "JOD": 3, "JPY": 0, "KES": 2, "KRW": 0,
    "KWD": 3, "MAD": 2, "MXN": 2, "MYR": 2, "NGN": 2, "NOK": 2, "NZD": 2, "OMR": 3,
    "PEN": 2, "PHP": 2, "PKR": 2, "PLN": 2, "RON": 2, "SAR": 2, "SEK": 2, "SGD": 2,
    "THB": 2, "TND": 3, "TRY": 2, "TWD": 2, "TZS": 2, "UAH": 2, "UGX": 0, "USD": 2,
    "UYU": 2, "VND": 0, "ZAR": 2,
}  # fmt: skip


#: Plain decimal notation in ASCII, as short as it can be: no sign, no exponent, no
#: leading zeros, no separators. It also bounds the work that a hostile text can cause.
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,18}))?", re.ASCII)


@dataclass(frozen=True)
class Fiat:
    """An amount of a national currency: 5 with USD is five cents."""

    amount_minor: int
    currency: str

    @property
    def exponent(self) -> int:
        """Return the number of decimals of the currency (ISO 4217)."""
        return exponent_of(self.currency)

    def __str__(self) -> str:
        return f"{_shift(self.amount_minor, self.exponent)} {self.currency}"


def exponent_of(currency: str) -> int:
    """Return the ISO 4217 exponent; raise UnknownCurrency for anything else."""
    try:
        return CURRENCY_EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency[:16]!r} is not a currency that can be used.") from None


def parse_price(amount: str | int, currency: str) -> Fiat | int:
    """Return a merchant's price: Fiat for an ISO 4217 code, msat (int) for ``SAT``.

    The amount is in major units: ``"0.05"`` with USD is five cents, ``5`` is five
    dollars, and ``"5"`` or ``5`` with SAT is five satoshis. Decimals come as a
    string, because JSON numbers reach most programs as binary floats, which cannot
    hold 0.05; bool and float are refused. Raises InvalidPrice or UnknownCurrency.
    """
    if not isinstance(currency, str):
        raise UnknownCurrency("The currency is a text such as USD or SAT.")
    exponent = 0 if currency == SAT else exponent_of(currency)
    whole, decimals = _split_amount(amount)
    if len(decimals) > exponent:
        raise InvalidPrice(f"{currency} has {exponent} decimals; the price has {len(decimals)}.")
    if whole > MAX_FIAT_MAJOR:
        raise InvalidPrice(f"A price is at most {MAX_FIAT_MAJOR} {currency}.")
    units = int(f"{whole}{decimals.ljust(exponent, '0')}")
    if units == 0:
        raise InvalidPrice("A price must be above 0.")
    return check_price_msat(units * MSAT_PER_SAT) if currency == SAT else Fiat(units, currency)


def _split_amount(amount: object) -> tuple[int, str]:
    """Return the whole part and the decimals as written. JSON brings any type here."""
    if isinstance(amount, int) and not isinstance(amount, bool):
        # Compared before it is printed: printing a huge integer is slow.
        if not 0 <= amount <= MAX_FIAT_MAJOR:
            raise InvalidPrice(f"A price must be above 0 and at most {MAX_FIAT_MAJOR}.")
        return amount, ""
    match = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if match is None:
        raise InvalidPrice('Give the price as a text such as "0.05" or as a whole number.')
    return int(match[1]), match[2] or ""


def ceil_div(numerator: int, denominator: int) -> int:
    """Divide integers, rounded up."""
    return -(-numerator // denominator)


def msat_to_sat_ceil(amount_msat: int) -> int:
    """Return whole sats, rounded up: on-chain nothing smaller can be paid."""
    return ceil_div(amount_msat, MSAT_PER_SAT)


def fiat_to_msat_ceil(price: Fiat, rate: Decimal) -> int:
    """Return the price in msat, rounded up to the msat.

    ``rate`` is the price of one bitcoin in major units. Raises InvalidPrice
    when the result is no price that an item can have.
    """
    check_rate(rate)
    exact = Fraction(price.amount_minor * MSAT_PER_BTC, 10**price.exponent) / Fraction(rate)
    return check_price_msat(ceil_div(exact.numerator, exact.denominator))


def check_rate(rate: Decimal) -> Decimal:
    """Return the rate when it is believable; raise InvalidPrice otherwise, also for NaN."""
    if not (rate.is_finite() and MIN_RATE <= rate <= MAX_RATE):
        raise InvalidPrice(f"A rate of {str(rate)[:40]} is not believable.")
    return rate


def check_price_msat(amount_msat: int) -> int:
    """Return the amount when an item can cost that much; raise InvalidPrice otherwise."""
    if not 0 < amount_msat <= MAX_PRICE_MSAT:
        raise InvalidPrice(f"A price must be above 0 and at most {format_sat(MAX_PRICE_MSAT)}.")
    return amount_msat


def format_sat(amount_msat: int) -> str:
    """Return an amount for people, exact to the msat: ``1 sat``, ``5,000 sats``, ``0.1 sats``."""
    sat = _shift(amount_msat, 3, trim=True, grouped=True)
    return f"{sat} sat" if abs(amount_msat) == MSAT_PER_SAT else f"{sat} sats"


def format_btc(amount_sat: int) -> str:
    """Return whole sats as bitcoin, as BIP 21 writes amounts: ``0.00005``, ``1``."""
    return _shift(amount_sat, 8, trim=True)


def _shift(units: int, decimals: int, *, trim: bool = False, grouped: bool = False) -> str:
    """Return ``units`` with the point moved left. Integers only, so nothing is rounded."""
    whole, rest = divmod(abs(units), 10**decimals)
    text = f"{rest:0{decimals}d}" if decimals else ""
    text = text.rstrip("0") if trim else text
    whole_text = f"{whole:,}" if grouped else str(whole)
    return f"{'-' if units < 0 else ''}{whole_text}{'.' if text else ''}{text}"
