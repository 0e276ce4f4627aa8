"""Amounts in sats and shares as people read them on the pages of merchants.

Templates get the filters ``sats``, ``exact_sats``, ``percent`` and ``change``; national amounts
are written as at the checkout (``checkout_words.minor_words``). The macros of
``dashboard/_money.html`` show an amount with all that is known of it.
"""

from decimal import Decimal

from babel.numbers import format_decimal, format_percent
from flask import Flask

from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.http.language import gettext, language, ngettext

_PERCENT_FORMAT = "#,##0.#%"
_CHANGE_FORMAT = "+#,##0%;-#,##0%"


def sats(amount_msat: int) -> str:
    """Return whole sats, rounded towards zero; below one sat all three decimals."""
    if abs(amount_msat) < MSAT_PER_SAT:
        return exact_sats(amount_msat)
    whole = abs(amount_msat) // MSAT_PER_SAT
    return _sats(whole if amount_msat > 0 else -whole)


def exact_sats(amount_msat: int) -> str:
    """Return sats with the decimals that there are, at most three: nothing is rounded."""
    whole, rest = divmod(amount_msat, MSAT_PER_SAT)
    if not rest:
        return _sats(whole)
    exact = Decimal(amount_msat).scaleb(-3)
    return gettext("%(amount)s sats", amount=format_decimal(exact, "#,##0.###", language()))


def percent(part: int, whole: int) -> str:
    """Return a share with at most one decimal, rounded half to even; a dash for none of none."""
    if whole == 0:
        return "\N{EN DASH}"
    share = Decimal(part) / Decimal(whole)
    return str(format_percent(share, _PERCENT_FORMAT, locale=language()))


def change(now: int, then: int) -> str:
    """Return by how much more or less there is now, in whole per cent with its sign."""
    if then <= 0:
        return "\N{EN DASH}"
    share = Decimal(now - then) / Decimal(then)
    return str(format_percent(share, _CHANGE_FORMAT, locale=language()))


def register(app: Flask) -> None:
    """Give templates the filters."""
    for shown in (sats, exact_sats, percent, change):
        app.add_template_filter(shown)


def _sats(number: int) -> str:
    return ngettext("%(num)s sat", "%(num)s sats", number)
