"""Amounts and rates as the checkout's pages and documents write them, in any language.

A national amount has its ISO 4217 code, not a sign: half of the world's money is a dollar.
"""

from decimal import Decimal

from babel.numbers import format_decimal, format_percent
from flask import Flask

from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.domain.money import SAT, exponent_of
from bitcache_server.http.language import language, ngettext


def register(app: Flask) -> None:
    """Give templates the filters."""
    for shown in (minor_words, rate_words, exact_number, rate_of_bitcoin):
        app.add_template_filter(shown)


def minor_words(amount_minor: int, currency: str) -> str:
    """Return an amount with the decimals and the code of its currency: ``12.50 USD``."""
    if currency == SAT:
        return ngettext("%(num)s sat", "%(num)s sats", amount_minor)
    return f"{minor_number(amount_minor, currency)} {currency}"


def minor_number(amount_minor: int, currency: str) -> str:
    """Return an amount in major units with all decimals of its currency, without its code."""
    exponent = 0 if currency == SAT else exponent_of(currency)
    pattern = f"#,##0.{'0' * exponent}" if exponent else "#,##0"
    return str(format_decimal(Decimal(amount_minor).scaleb(-exponent), pattern, language()))


def rate_words(tax_ppm: int) -> str:
    """Return a tax rate in per cent, with as many decimals as it has."""
    share = Decimal(tax_ppm) / PARTS_PER_MILLION
    return str(format_percent(share, "#,##0.####%", locale=language()))


def exact_number(amount_msat: int) -> str:
    """Return the number of sats with the decimals that there are: nothing is rounded."""
    return str(format_decimal(Decimal(amount_msat).scaleb(-3), "#,##0.###", language()))


def rate_of_bitcoin(price_per_btc: str) -> str:
    """Return the price of one bitcoin with two decimals, rounded half to even."""
    return str(format_decimal(Decimal(price_per_btc), "#,##0.00", language()))
