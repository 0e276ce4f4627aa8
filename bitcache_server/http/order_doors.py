"""/order and /l/…: the two ways to an order without a call of the API.

Opening a page changes nothing, however often programs do it; its button does.
"""

import re
import secrets

from flask import Blueprint, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidPrice, InvalidRequest, UnknownCurrency
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.language import said
from bitcache_server.http.limits import INVOICES, SITE_INVOICES, check_limit
from bitcache_server.models.catalog import Site
from bitcache_server.models.orders import PaymentLink
from bitcache_server.services.merchants import get_site
from bitcache_server.services.once import in_transaction
from bitcache_server.services.order_links import get_link, order_from_link, read_signed_link
from bitcache_server.services.orders import NewOrder, create_order
from bitcache_server.tokens.orders import LINK_PARAMETERS

_LINK_ID = re.compile(r"pl_[A-Za-z0-9_-]{1,61}", re.ASCII)


def add_routes(pages: Blueprint) -> None:
    """Add the pages and their forms."""
    pages.add_url_rule("/order", "signed_link", signed_link)
    pages.add_url_rule("/order", "take_signed_link", take_signed_link, methods=["POST"])
    pages.add_url_rule("/l/<link_id>", "payment_link", payment_link)
    pages.add_url_rule("/l/<link_id>", "take_payment_link", take_payment_link, methods=["POST"])


def signed_link() -> str:
    """Show what the shop has signed, and the button that takes it."""
    site, new = _signed()
    return render_template(
        "checkout_door.html",
        shop=site,
        title=new.lines[0].title,
        currency=new.currency,
        amount_minor=new.lines[0].unit_minor,
        fields=_sent(),
        action_url="/order",
        cancel_link=new.cancel_url,
    )


def take_signed_link() -> ResponseReturnValue:
    """Create the order, or find the one that was created before, and go to its page."""
    same_origin()
    site, new = _signed()
    return _to_order(site, new)


def _signed() -> tuple[Site, NewOrder]:
    sent = _sent()
    return read_signed_link(deps(), session(), sent, sent.pop("signature", ""))


def _sent() -> dict[str, str]:
    """Return the parameters that mean something; one that comes twice is an error."""
    given = request.args if request.method == "GET" else request.form
    found = {}
    for name in (*LINK_PARAMETERS, "signature"):
        values = given.getlist(name)
        if len(values) > 1:
            raise InvalidRequest(f"{name} is given more than once.")
        if values:
            found[name] = values[0]
    return found


def _to_order(site: Site, new: NewOrder) -> ResponseReturnValue:
    check_limit(INVOICES)
    check_limit(SITE_INVOICES, site.id)
    order_id = in_transaction(
        session(), lambda: create_order(deps(), session(), get_site(session(), site.id), new).id
    )
    return redirect(f"/pay/orders/{order_id}", 303)


def payment_link(link_id: str) -> ResponseReturnValue:
    """Show what the link is for."""
    return _show_link(_link(link_id))


def take_payment_link(link_id: str) -> ResponseReturnValue:
    """Make an order of the link and go to its page."""
    same_origin()
    link = _link(link_id)
    check_limit(INVOICES)
    check_limit(SITE_INVOICES, link.site_id)
    key, amount = request.form.get("key", ""), request.form.get("amount", "")
    try:
        order_id = in_transaction(
            session(),
            lambda: order_from_link(deps(), session(), _link(link_id), key, amount).id,
        )
    except (InvalidPrice, UnknownCurrency) as error:
        shown = _show_link(_link(link_id), said(error), amount)
        return shown, status_of(type(error))
    return redirect(f"/pay/orders/{order_id}", 303)


def _link(link_id: str) -> PaymentLink:
    # A text that is no id may be one at which the database stumbles.
    return get_link(session(), link_id if _LINK_ID.fullmatch(link_id) else "")


def _show_link(link: PaymentLink, failed: str = "", amount: str = "") -> Response:
    html = render_template(
        "checkout_door.html",
        shop=get_site(session(), link.site_id),
        title=link.title,
        currency=link.currency,
        amount_minor=link.amount_minor,
        least_minor=link.min_minor,
        most_minor=link.max_minor,
        amount=amount,
        closed=link.closed_at is not None,
        fields={"key": secrets.token_urlsafe(16)},
        action_url=f"/l/{link.id}",
        failed=failed,
    )
    return make_response(html)
