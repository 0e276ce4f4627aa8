"""What the forms about items say, and words for what is wrong with it."""

import re
from decimal import Decimal
from urllib.parse import urlencode

from babel.numbers import get_decimal_symbol
from flask import Flask, request

from bitcache_server.domain.errors import (
    BitcacheError,
    FileMissing,
    FilePathRefused,
    InvalidPrice,
    InvalidRequest,
    UnknownCurrency,
)
from bitcache_server.domain.money import CURRENCY_EXPONENTS, MAX_PRICE_MSAT, SAT
from bitcache_server.http.checkout_words import minor_words
from bitcache_server.http.language import gettext, language, number_words, said
from bitcache_server.http.money import sats
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Item
from bitcache_server.services.item_changes import Change
from bitcache_server.services.item_terms import Terms, minor_of, price_text
from bitcache_server.services.items import MAX_ACCESS_HOURS

#: What the pages can say in their own words. All else speaks for itself.
FAULTS = (InvalidRequest, InvalidPrice, UnknownCurrency, FileMissing, FilePathRefused)
CURRENCIES = (SAT, *CURRENCY_EXPONENTS)
_PERCENT = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,2})?", re.ASCII)
DEEDS: dict[str, str] = {
    "price": _("Set the price"),
    "raise": _("Raise or lower the price"),
    "hours": _("Set the access time"),
    "archive": _("Take off sale"),
    "restore": _("Put back on sale"),
}
#: What a list of items is told by its address.
LIST_NAMES = ("q", "site", "order", "show", "days", "cursor")


def register(app: Flask) -> None:
    """Give templates the prices of items: for a field, and as people read them."""
    app.add_template_filter(_price_input, "price_input")
    app.add_template_filter(_terms_price, "terms_price")


def fault_words(error: BitcacheError) -> str:
    """Return what is wrong, in the language of the page."""
    if isinstance(error, InvalidPrice):
        return gettext(
            "This is no price. Write it as 0.05, with no more decimals than the currency has;"
            " it is above 0 and at most %(most)s.",
            most=sats(MAX_PRICE_MSAT),
        )
    if isinstance(error, UnknownCurrency):
        return gettext("Choose one of the currencies.")
    if isinstance(error, FileMissing | FilePathRefused):
        return gettext("There is no such file in the site's folder.")
    return said(error)


def list_address(merchant_id: str, done: str = "", **other: str) -> str:
    """Return the address of the list as this request's address describes it."""
    kept = {name: value for name in LIST_NAMES if (value := request.args.get(name, ""))}
    kept |= other
    if done:
        kept["done"] = done
    words = urlencode({name: value for name, value in kept.items() if value})
    return f"/dashboard/{merchant_id}/items" + (f"?{words}" if words else "")


def list_words() -> str:
    """Return what this request's address says of the list, for the address of a form."""
    kept = {name: value for name in LIST_NAMES if (value := request.args.get(name, ""))}
    return f"?{urlencode(kept)}" if kept else ""


def read_price() -> tuple[str, str]:
    """Return price and currency as typed; a decimal comma where the language writes one."""
    price = request.form.get("price", "").strip()
    if get_decimal_symbol(language()) == "," and "." not in price:
        price = price.replace(",", ".")
    return price, request.form.get("currency", "")


def read_hours() -> int | None:
    """Return the hours of access; None, for ever, where nothing is typed."""
    text = request.form.get("hours", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ACCESS_HOURS))):
        raise InvalidRequest(
            gettext(
                "Give the access time in whole hours, at most %(most)s.",
                most=number_words(MAX_ACCESS_HOURS),
            )
        )
    return int(text)


def read_terms(before: Terms) -> Terms:
    """Return the terms that a form gives an item; what is not in it stays as it was."""
    form = request.form
    price, currency = read_price() if "price" in form else (before.price, before.currency)
    title = form.get("title", before.title)
    if not title.strip():
        raise InvalidRequest(gettext("Give it a title."))
    return Terms(
        title=title,
        teaser=form.get("teaser", before.teaser),
        url=form.get("url", before.url or "").strip() or None,
        price=price,
        currency=currency,
        access_hours=read_hours() if "hours" in form else before.access_hours,
        archived=before.archived,
    )


def read_change() -> Change:
    """Return what is to be done to many items; raise InvalidRequest."""
    match request.form.get("deed"):
        case "price":
            return Change(price=read_price())
        case "raise":
            return Change(raise_percent=_percent())
        case "hours":
            return Change(access=True, access_hours=read_hours())
        case "archive":
            return Change(archive=True)
        case "restore":
            return Change(archive=False)
    raise InvalidRequest(gettext("Choose what should be changed."))


def _percent() -> Decimal:
    text = request.form.get("percent", "").strip().replace(",", ".")
    if not _PERCENT.fullmatch(text) or not -99 <= Decimal(text) <= 1000:
        raise InvalidRequest(gettext("Give a per cent from -99 to 1000, such as 5 or -2.5."))
    return Decimal(text)


def _price_input(item: Item) -> str:
    return price_text(item.price_currency, item.price_amount)


def _terms_price(terms: Terms) -> str:
    return minor_words(minor_of(terms), terms.currency)
