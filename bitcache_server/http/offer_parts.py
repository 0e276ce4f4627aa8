"""What the pages of items and of orders share: what a balance can do, and why it may not."""

import re
import secrets

from flask import request

from bitcache_server.domain.errors import (
    InsufficientBalance,
    InvalidRequest,
    PriceChanged,
    PurchaseEnded,
    RateUnavailable,
    UnknownPurchase,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.wallet.cookie import holder
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Item
from bitcache_server.services.fill_wallet import fills_msat
from bitcache_server.services.wallet_views import purchase, wallet_view

BAD_CODE = _("This receipt code is not valid. Check that it was copied as a whole.")
OTHER_CODE = _("This receipt code is for something else, not for this page.")
#: Why a balance does not pay; the page says it.
REFUSALS = (InsufficientBalance, PriceChanged, PurchaseEnded, RateUnavailable)
_PRICE_MSAT = re.compile(r"[0-9]{1,18}", re.ASCII)


def price_seen_msat() -> int:
    """Return the price that the form's reader was shown; raise InvalidRequest without one."""
    text = request.form.get("price_msat", "")
    if not _PRICE_MSAT.fullmatch(text):
        # Never "any price": nothing is paid that the reader was not shown.
        raise InvalidRequest("The form came without the price. Open the item's page again.")
    return int(text)


def balance_offer(item: Item, price_msat: int | None) -> dict[str, object] | None:
    """Return what the reader's wallet can do for this item; None without a wallet."""
    known = holder()
    if known is None:
        return None
    try:
        owned = purchase(deps(), session(), known.wallet_id, item.id).opens
    except UnknownPurchase:
        owned = False
    total_msat = wallet_view(deps(), session(), known.wallet_id).total_msat
    missing_msat = None if price_msat is None else max(0, price_msat - total_msat)
    return {
        "owned": owned,
        "total_msat": total_msat,
        "missing_msat": missing_msat,
        "fills_msat": fills_msat(deps(), session(), known.wallet_id, missing_msat),
        "key": secrets.token_urlsafe(16),
    }
