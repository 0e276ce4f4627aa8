"""Names of merchants in front of the ``@``: the Lightning addresses that we serve (LUD-16).

All functions run inside the caller's transaction.
"""

import re
from urllib.parse import urlsplit

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import HandleTaken, InvalidRequest, UnknownMerchant
from bitcache_server.models.catalog import Merchant
from bitcache_server.rails.lightning.rail import RAIL_NAME
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.deps import Deps
from bitcache_server.settings import Settings

#: LUD-16 allows a-z0-9-_. ; a letter or number at both ends keeps names readable.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
#: Who gets one of these could pass for the operator (RFC 2142 lists the first ones).
RESERVED = frozenset(
    ("abuse", "admin", "administrator", "billing", "bitcache", "bitcoin", "donate", "donations",
     "help", "hostmaster", "info", "lightning", "lnurl", "mail", "marketing", "money", "noc",
     "no-reply", "noreply", "official", "operator", "owner", "pay", "payment", "payments",
     "payout", "postmaster", "refund", "root", "sales", "security", "server", "staff",
     "support", "system", "tips", "top-up", "wallet", "webmaster", "withdraw", "www")
)  # fmt: skip


def set_handle(session: Session, merchant_id: str, name: str | None) -> Merchant:
    """Give a merchant the Lightning address ``name@host`` of this server; None takes it away.

    Raises HandleTaken, InvalidRequest, UnknownMerchant. What was paid to an address before
    stays with whom it was paid to.
    """
    merchant = get_merchant(session, merchant_id)
    if name is not None:
        name = name.strip().lower()
        _check(merchant, name)
    row = update(Merchant).where(Merchant.id == merchant_id).values(handle=name)
    try:
        with session.begin_nested():
            session.execute(row)
    except IntegrityError:
        raise HandleTaken(f"{name!r} belongs to another merchant.") from None
    session.refresh(merchant)
    return merchant


def require_receiver(deps: Deps) -> None:
    """Raise InvalidRequest on a server where nobody could pay to a name."""
    if RAIL_NAME not in deps.rails or not deps.settings.lightning_backend:
        raise InvalidRequest(
            "Nobody could pay to this name: what is sent there is received by your own Lightning "
            "node, and this server has none. Set lightning_backend first (docs/lightning.md), or "
            "give the merchant an address of their own with --lightning-address."
        )


def merchant_of_handle(session: Session, name: str) -> Merchant:
    """Return who receives at a name; raise UnknownMerchant."""
    merchant = session.scalar(select(Merchant).where(Merchant.handle == name.lower()))
    if merchant is None:
        raise UnknownMerchant("Nobody has this Lightning address.")
    return merchant


def address_of(settings: Settings, merchant: Merchant) -> str | None:
    """Return the Lightning address that we serve for a merchant, None where they have none."""
    if merchant.handle is None:
        return None
    return f"{merchant.handle}@{urlsplit(settings.public_url).netloc}"


def _check(merchant: Merchant, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "A name has up to 64 of a-z, 0-9, '.', '_' and '-', with a letter or number at "
            "both ends."
        )
    if name in RESERVED:
        raise HandleTaken(f"{name!r} is kept for the operator.")
    if merchant.direct:
        raise InvalidRequest(
            "This merchant is paid directly. Our Lightning address would pay into your node; "
            "theirs is the address at their own provider."
        )
