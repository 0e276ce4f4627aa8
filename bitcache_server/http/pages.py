"""The hosted checkout: buying and reading without JavaScript, on our own origin.

The verifier lives in a cookie that only the server reads (RFC 6265), so a reader
who comes back with the same browser finds what was bought.
"""

import secrets

import nh3
from flask import Blueprint, Flask, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from bitcache_server.domain.errors import BitcacheError, OriginNotAllowed
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.http.context import deps, session
from bitcache_server.http.downloads import download_url
from bitcache_server.http.errors import log_unexpected, problem, translate
from bitcache_server.http.limits import INVOICES, READS, SITE_INVOICES, check_limit
from bitcache_server.models.catalog import Item
from bitcache_server.models.sales import Invoice
from bitcache_server.services.collect import claim_grant, redeem_credit
from bitcache_server.services.create_invoice import InvoiceOrder, create_invoice, get_invoice
from bitcache_server.services.deliver import article_of, download_link, open_item
from bitcache_server.services.items import get_item
from bitcache_server.services.once import in_transaction
from bitcache_server.services.views import InvoiceView, invoice_view, item_view
from bitcache_server.tokens.verifier import challenge_of

pages = Blueprint("pages", __name__, url_prefix="/pay")

VERIFIER_COOKIE = "bitcache_verifier"
VERIFIER_BYTES = 32
#: Browsers keep no cookie longer than 400 days.
COOKIE_AGE_S = 400 * 86_400


def register(app: Flask) -> None:
    """Add the pages to an app."""
    app.register_blueprint(pages)


@pages.errorhandler(Exception)
def _error_page(error: Exception) -> ResponseReturnValue:
    translated = translate(error)
    log_unexpected(translated)
    body, status, headers = problem(translated)
    headers.pop("Content-Type")
    return render_template("error.html", error=body), status, headers


@pages.before_request
def _limit() -> None:
    check_limit(READS)


@pages.after_request
def _page_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # With `no-referrer` a browser would send our own forms with the origin `null`.
    response.headers["Referrer-Policy"] = "same-origin"
    return response


@pages.get("/<item_id>")
def item_page(item_id: str) -> str:
    """Show what is for sale."""
    view = item_view(deps(), session(), get_item(session(), item_id))
    return render_template("checkout_item.html", item=view.model_dump(), action_url=request.path)


@pages.post("/<item_id>")
def buy(item_id: str) -> ResponseReturnValue:
    """Create an invoice whose verifier stays in a cookie, and show it."""
    _same_origin()
    check_limit(INVOICES)
    item = get_item(session(), item_id)
    check_limit(SITE_INVOICES, item.site_id)
    verifier = secrets.token_urlsafe(VERIFIER_BYTES)
    offered = item_view(deps(), session(), item).rails
    order = InvoiceOrder(item_id, challenge_of(verifier), offered[0] if offered else "onchain")
    view = in_transaction(
        session(), lambda: invoice_view(deps(), session(), create_invoice(deps(), session(), order))
    )
    path = f"/pay/invoices/{view.id}"
    response = make_response(redirect(path, 303))
    response.set_cookie(
        VERIFIER_COOKIE,
        verifier,
        max_age=COOKIE_AGE_S,
        path=path,
        httponly=True,
        secure=deps().settings.public_url.startswith("https:"),
        samesite="Lax",
    )
    return response


@pages.get("/invoices/<invoice_id>")
def invoice_page(invoice_id: str) -> ResponseReturnValue:
    """Show how to pay, or what was paid for when this browser paid for it."""
    invoice = get_invoice(session(), invoice_id)
    item = get_item(session(), invoice.item_id)
    verifier = request.cookies.get(VERIFIER_COOKIE)
    if verifier and (invoice.state == InvoiceState.PAID or invoice.redeemed_msat):
        return _show_purchase(invoice, item, verifier)
    return _show_invoice(invoice, item, verifier)


@pages.post("/invoices/<invoice_id>")
def redeem(invoice_id: str) -> ResponseReturnValue:
    """Buy the item from the credit of an invoice that was paid late or short."""
    _same_origin()
    verifier = request.cookies.get(VERIFIER_COOKIE, "")
    in_transaction(session(), lambda: redeem_credit(deps(), session(), invoice_id, verifier))
    return redirect(request.path, 303)


def _same_origin() -> None:
    """Refuse forms of other sites: they could make a reader's browser create invoices."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != deps().settings.public_url:
        raise OriginNotAllowed("This form works only on the checkout page itself.")


def _context(invoice: Invoice, item: Item) -> tuple[InvoiceView, dict[str, object]]:
    view = invoice_view(deps(), session(), invoice)
    return view, {
        "item": item_view(deps(), session(), item).model_dump(),
        "invoice": view.model_dump(),
        "request_onchain": view.requests[0].model_dump() if view.requests else None,
        "action_url": f"/pay/{item.id}",
        "redeem_url": request.path,
    }


def _show_invoice(invoice: Invoice, item: Item, verifier: str | None) -> str:
    view, context = _context(invoice, item)
    code = f"{view.id}.{verifier}" if verifier else None
    return render_template("checkout_invoice.html", receipt_code=code, **context)


def _show_purchase(invoice: Invoice, item: Item, verifier: str) -> ResponseReturnValue:
    try:
        collected = claim_grant(deps(), session(), invoice.id, verifier)
        opened = open_item(deps(), session(), item.id, collected.grant)
    except BitcacheError:
        return _show_invoice(invoice, item, None)
    _, context = _context(invoice, item)
    context["receipt_code"] = f"{invoice.id}.{verifier}"
    if opened.item.file_path is None:
        # The page is on our origin: what a merchant wrote must not run here.
        context["content_html"] = Markup(nh3.clean(article_of(opened.item)))  # noqa: S704  # cleaned
        return render_template("checkout_content.html", **context)
    link = download_link(deps(), session(), opened)
    context["download_url"] = download_url(item.id, link)
    return render_template("checkout_file.html", **context)
