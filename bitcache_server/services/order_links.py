"""Orders without a call of the API: a link that the shop signs, and a payment link.

Neither does anything until the customer presses the button on its page.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    GrantInvalid,
    InvalidPrice,
    InvalidRequest,
    LinkExpired,
    LinkInvalid,
    NotFound,
    OrderClosed,
)
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Site
from bitcache_server.models.orders import Order, PaymentLink
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import MAX_TITLE_CHARS
from bitcache_server.services.merchants import get_site
from bitcache_server.services.order_lines import Line, check_total
from bitcache_server.services.orders import NewOrder, create_order
from bitcache_server.services.paging import Page, newest_first
from bitcache_server.services.quotes import parse_item_price
from bitcache_server.services.return_urls import check_return_url
from bitcache_server.services.site_keys import secrets_for
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.orders import check_link
from bitcache_server.tokens.secrets import new_id

_SITE = re.compile(r"st_[A-Za-z0-9_-]{1,64}", re.ASCII)
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_NEEDED = ("amount", "currency", "expires", "reference", "site", "title")


def read_signed_link(
    deps: Deps, session: Session, parameters: Mapping[str, str], signature: str
) -> tuple[Site, NewOrder]:
    """Return what a shop has signed. Only reads.

    Raises LinkInvalid for what it has not, LinkExpired, and what makes no order of it:
    InvalidRequest, InvalidPrice, UnknownCurrency.
    """
    site_id = parameters.get("site", "")
    if not _SITE.fullmatch(site_id) or any(name not in parameters for name in _NEEDED):
        raise LinkInvalid("A part of the link is missing.")
    try:
        secrets = secrets_for(deps, session, site_id)
    except GrantInvalid:
        raise LinkInvalid("The shop has not signed this link as it stands here.") from None
    check_link(secrets, parameters, signature)
    if not _TIME.fullmatch(parameters["expires"]):
        raise InvalidRequest("`expires` is a time in seconds since 1970.")
    if deps.clock() >= int(parameters["expires"]):
        raise LinkExpired("The shop's link is over. Go back to the shop for another one.")
    currency, amount_minor = parse_item_price(parameters["amount"], parameters["currency"])
    return get_site(session, site_id), NewOrder(
        reference=parameters["reference"],
        currency=currency,
        lines=(Line(parameters["title"], 1, amount_minor),),
        return_url=parameters.get("return_url"),
        cancel_url=parameters.get("cancel_url"),
    )


@dataclass(frozen=True)
class NewLink:
    """What a merchant says about a payment link: a price, or bounds for the payer's own."""

    title: str
    currency: str
    price: str = ""
    least: str = ""
    most: str = ""
    tax_ppm: int | None = None
    return_url: str | None = None


def add_link(deps: Deps, session: Session, site: Site, new: NewLink) -> PaymentLink:
    """Add a payment link inside the caller's transaction.

    Raises InvalidRequest, InvalidPrice, UnknownCurrency, ReturnUrlRefused.
    """
    if bool(new.price) == bool(new.least or new.most):
        raise InvalidRequest(_("Give either a price, or the least and the most that one may pay."))
    amount_minor = least_minor = most_minor = None
    if new.price:
        amount_minor = parse_item_price(new.price, new.currency)[1]
    else:
        least_minor = parse_item_price(new.least, new.currency)[1]
        most_minor = parse_item_price(new.most, new.currency)[1]
        if least_minor > most_minor:
            raise InvalidPrice(_("The least that one may pay is more than the most."))
    if new.tax_ppm is not None and not 0 <= new.tax_ppm <= PARTS_PER_MILLION:
        raise InvalidRequest(_("A tax rate is between 0 and 100 per cent."))
    link = PaymentLink(
        id=new_id("pl"),
        site_id=site.id,
        merchant_id=site.merchant_id,
        title=check_name(new.title, _("The title"), MAX_TITLE_CHARS),
        currency=new.currency,
        amount_minor=amount_minor,
        min_minor=least_minor,
        max_minor=most_minor,
        tax_ppm=new.tax_ppm,
        return_url=new.return_url and check_return_url(session, site.id, new.return_url),
        created_at=deps.clock(),
    )
    session.add(link)
    session.flush()
    return link


def get_link(session: Session, link_id: str, *conditions: ColumnElement[bool]) -> PaymentLink:
    """Return a payment link that meets the conditions; raise NotFound."""
    query = select(PaymentLink).where(PaymentLink.id == link_id, *conditions)
    link = session.scalar(query)
    if link is None:
        raise NotFound("There is no such payment link.")
    return link


def list_links(
    session: Session, merchant_id: str, cursor: str | None, limit: int
) -> Page[PaymentLink]:
    """Return a merchant's payment links, newest first."""
    mine = [PaymentLink.merchant_id == merchant_id]
    return newest_first(session, PaymentLink, mine, cursor, limit)


def order_from_link(
    deps: Deps, session: Session, link: PaymentLink, key: str, amount: str
) -> Order:
    """Make an order from a payment link, the same one for the same form.

    ``amount`` is what a payer writes who may choose, in major units. Runs inside the
    caller's transaction. Raises OrderClosed for a link that was closed, InvalidPrice.
    """
    if link.closed_at is not None:
        raise OrderClosed(_("This payment link is not in use any more."))
    if not _KEY.fullmatch(key):
        raise InvalidRequest(_("The form came without its key. Open the page again."))
    amount_minor = link.amount_minor
    if amount_minor is None:
        amount_minor = _chosen(link, amount)
    check_total(amount_minor, link.currency)
    # Sent twice, a form makes one order; with another amount it makes another one.
    named = hashlib.sha256(f"{link.id} {key} {amount_minor}".encode()).hexdigest()[:12]
    new = NewOrder(
        reference=f"L-{named}",
        currency=link.currency,
        lines=(Line(link.title, 1, amount_minor, link.tax_ppm),),
        return_url=link.return_url,
        link_id=link.id,
    )
    return create_order(deps, session, get_site(session, link.site_id), new)


def _chosen(link: PaymentLink, amount: str) -> int:
    """Return what the payer wants to pay, in minor units; raise InvalidPrice."""
    amount_minor = parse_item_price("".join(amount.split()), link.currency)[1]
    if not (link.min_minor or 0) <= amount_minor <= (link.max_minor or 0):
        raise InvalidPrice(_("The amount is not within the bounds of this link."))
    return amount_minor
