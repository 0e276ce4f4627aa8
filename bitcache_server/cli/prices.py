"""Prices on a command line: what is wrong with one, in words for a person."""

import re

from bitcache_server.domain.errors import InvalidPrice
from bitcache_server.domain.money import (
    MAX_FIAT_MAJOR,
    MAX_PRICE_MSAT,
    MSAT_PER_SAT,
    SAT,
    parse_price,
)

_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def check_price(price: str, currency: str) -> None:
    """Raise InvalidPrice or UnknownCurrency for what no item can cost."""
    try:
        parse_price(price, currency)
    except InvalidPrice as error:
        raise InvalidPrice(_explanation(price, currency) or error.detail) from None


def _explanation(price: str, currency: str) -> str:
    """Return what to write instead; nothing where the error says it well itself."""
    number = _NUMBER.fullmatch(price)
    in_sat = currency == SAT
    if number is None or not price.strip("0."):
        if in_sat:
            return "Write the price as a whole number of sats, above 0, such as 2000."
        return "Write the price with a point and without a currency sign, above 0, such as 2.00."
    most = MAX_PRICE_MSAT // MSAT_PER_SAT if in_sat else MAX_FIAT_MAJOR
    # Compared by length first: turning a huge text into a number is slow.
    whole = number[1].lstrip("0")
    if len(whole) > len(str(most)) or int(whole or "0") > most:
        return f"The price is too large: an item costs at most {most} {currency}."
    if in_sat and number[2] is not None:
        return "Sats are whole: write the price without a point, such as 2000."
    if len(number[1]) > 1 and price.startswith("0"):
        return "Write the price without zeros in front, such as 2.00."
    return ""
