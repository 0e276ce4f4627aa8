"""What the pages of orders share: states in words, and fields of their forms."""

import re

from flask import request

from bitcache_server.domain.errors import InvalidRequest, UnknownSite
from bitcache_server.domain.order_state import OrderState
from bitcache_server.http.context import session
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Site
from bitcache_server.services.merchants import get_site

STATES: dict[str, str] = {
    OrderState.OPEN: _("Open"),
    OrderState.PAID: _("Paid"),
    OrderState.CANCELLED: _("Cancelled"),
    OrderState.EXPIRED: _("Expired"),
    OrderState.REFUNDED: _("Given back"),
}
#: Per cent with up to four decimals are whole parts per million.
_PER_CENT = re.compile(r"(\d{1,3})(?:[.,](\d{1,4}))?", re.ASCII)


def site_of_form(merchant_id: str) -> Site:
    """Return the site that the form names; raise UnknownSite for none of the merchant's."""
    site_id = request.form.get("site", "").replace("\x00", "")
    site = get_site(session(), site_id)
    if site.merchant_id != merchant_id:
        raise UnknownSite(f"There is no site {site_id[:64]!r}.")
    return site


def tax_ppm_of(text: str) -> int | None:
    """Return a tax rate, written in per cent, in parts per million; raise InvalidRequest."""
    if not text.strip():
        return None
    found = _PER_CENT.fullmatch(text.strip().removesuffix("%").strip())
    if found is None:
        raise InvalidRequest(_("Give the tax rate in per cent, such as 19 or 5.5."))
    return int(found[1]) * 10_000 + int((found[2] or "").ljust(4, "0"))
