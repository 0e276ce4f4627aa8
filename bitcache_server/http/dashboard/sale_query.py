"""Which sales the page shows: what its address says, in the merchant's own days."""

from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from flask import request

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.language import gettext
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Merchant
from bitcache_server.services.local_days import (
    Period,
    begin_of,
    days_before,
    monday_of,
    month_before,
    month_of,
    period,
    today_in,
)
from bitcache_server.services.sales_list import KINDS, STATES, SaleFilter
from bitcache_server.services.texts import check_text

PERIODS: dict[str, str] = {
    "": _("All time"),
    "today": _("Today"),
    "yesterday": _("Yesterday"),
    "week": _("This week"),
    "days30": _("The last 30 days"),
    "month": _("This month"),
    "last_month": _("Last month"),
    "year": _("This year"),
}
KIND_WORDS: dict[str, str] = {
    "sale": _("Sale"),
    "share": _("Share of another's sale"),
    "sent": _("Sent to your Lightning address"),
}
STATE_WORDS: dict[str, str] = {
    "paid": _("Paid"),
    "refunded": _("Given back"),
    "reversed": _("Payment vanished"),
}
RAIL_WORDS: dict[str, str] = {
    "balance": _("Reader's balance"),
    "lightning": _("Lightning"),
    "onchain": _("On-chain"),
    "fake": _("Test money"),
}
_NAMES = ("period", "from", "to", "site", "item", "kind", "rail", "state", "q")
MAX_CHARS = 200
#: From the first block to the last year that can be counted in.
_YEARS = range(2009, 9999)


@dataclass(frozen=True)
class Asked:
    """What somebody chose, as text, and what that means."""

    texts: dict[str, str]
    wanted: SaleFilter

    @property
    def is_filtered(self) -> bool:
        """Say whether anything was chosen."""
        return bool(self.texts)

    def query(self, **more: str) -> str:
        """Return the choice as the query of an address, with further members."""
        named = {**self.texts, **{name: value for name, value in more.items() if value}}
        return f"?{urlencode(named)}" if named else "?"


def asked_for(merchant: Merchant, now: int) -> Asked:
    """Return what the address of the page says; raise InvalidRequest."""
    texts = typed()
    span = _span(texts, merchant.time_zone, now)
    kind, state = texts.get("kind", ""), texts.get("state", "")
    if kind not in ("", *KINDS) or state not in ("", *STATES):
        raise InvalidRequest(gettext("Choose one of what is offered."))
    wanted = SaleFilter(
        since=span.begin if span else None,
        until=span.end if span else None,
        site_id=texts.get("site", ""),
        item_id=texts.get("item", ""),
        kind=kind,
        rail=texts.get("rail", ""),
        state=state,
        search=texts.get("q", ""),
    )
    return Asked(texts, wanted)


def typed() -> dict[str, str]:
    """Return what was chosen or typed, without what is empty."""
    found = {name: request.args.get(name, "").strip()[:MAX_CHARS] for name in _NAMES}
    return {name: check_text(text, name) for name, text in found.items() if text}


def _span(texts: dict[str, str], zone: str, now: int) -> Period | None:
    """Return the time that was chosen; two dates count before a period, None is all time."""
    first, last = _day(texts.get("from")), _day(texts.get("to"))
    if first or last:
        begin = begin_of(zone, first) if first else 0
        end = begin_of(zone, last + timedelta(days=1)) if last else now + 1
        if begin >= end:
            raise InvalidRequest(gettext("The first day is after the last one."))
        return Period(begin, end)
    name = texts.get("period", "")
    if name not in PERIODS:
        raise InvalidRequest(gettext("Choose one of what is offered."))
    today = today_in(zone, now)
    tomorrow = today + timedelta(days=1)
    spans = {
        "today": (today, tomorrow),
        "yesterday": (today - timedelta(days=1), today),
        "week": (monday_of(today), tomorrow),
        "days30": (days_before(today, 30)[0], tomorrow),
        "month": (month_of(today), tomorrow),
        "last_month": (month_before(today), month_of(today)),
        "year": (today.replace(month=1, day=1), tomorrow),
    }
    return period(zone, *spans[name]) if name else None


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(gettext("Give days as YYYY-MM-DD.")) from None
    if day.year not in _YEARS:
        raise InvalidRequest(gettext("Give days as YYYY-MM-DD."))
    return day
