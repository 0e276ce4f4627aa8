"""The hosted checkout: buying and reading without JavaScript, on our own origin."""

import secrets
from urllib.parse import urlsplit

import nh3
from flask import Blueprint, Flask, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from bitcache_server.domain.errors import (
    BitcacheError,
    CreditNotMovable,
    GrantExpired,
    InvoiceNotPaid,
    NoCredit,
    NotFound,
    PurchaseEnded,
    UnknownInvoice,
    UnknownPurchase,
    VerifierMismatch,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.http.back import with_next
from bitcache_server.http.checkout_cookies import (
    VERIFIER_COOKIE,
    invoice_of_browser,
    receipt_code_sent,
    to_invoice,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.downloads import download_url
from bitcache_server.http.error_pages import error_page
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import from_elsewhere, same_origin
from bitcache_server.http.headers import page_policy
from bitcache_server.http.language import gettext, keep_source, remember, said
from bitcache_server.http.limits import INVOICES, READS, SITE_INVOICES, UNLOCKS, check_limit
from bitcache_server.http.offer_parts import (
    BAD_CODE,
    OTHER_CODE,
    REFUSALS,
    balance_offer,
    price_seen_msat,
)
from bitcache_server.http.order_invoice import show_order_invoice
from bitcache_server.http.visits import saw_the_wall
from bitcache_server.http.wallet.cookie import holder, require_holder
from bitcache_server.http.wallet.session import SIGN_IN
from bitcache_server.models.catalog import ORDER_KIND, Item
from bitcache_server.models.sales import Invoice
from bitcache_server.services.claim_balance import claim_to_balance
from bitcache_server.services.collect import claim_grant, collect_of_wallet, redeem_credit
from bitcache_server.services.create_invoice import InvoiceOrder, create_invoice, get_invoice
from bitcache_server.services.deliver import article_of, download_link, hand_over, open_item
from bitcache_server.services.fill_wallet import unlock_or_fill
from bitcache_server.services.gifts import gift_on_offer_msat
from bitcache_server.services.items import any_item, get_item
from bitcache_server.services.once import in_transaction
from bitcache_server.services.origins import origins_of
from bitcache_server.services.request_payment import ANY, ask_for_payment
from bitcache_server.services.unlock_item import UnlockOrder
from bitcache_server.services.views import InvoiceView, invoice_view, item_view
from bitcache_server.services.wallet_views import wallet_view
from bitcache_server.tokens.verifier import challenge_of

pages = Blueprint("pages", __name__, url_prefix="/pay")
pages.register_error_handler(Exception, error_page)

VERIFIER_BYTES = 32


def register(app: Flask) -> None:
    """Add the pages to an app."""
    app.register_blueprint(pages)

    @app.get("/", endpoint="home")
    def _home() -> str:
        keep_source()
        check_limit(READS)
        return render_template("home.html", host=urlsplit(deps().settings.public_url).netloc)


@pages.before_request
def _limit() -> None:
    check_limit(READS)


@pages.after_request
def _page_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # With `no-referrer` a browser would send our own forms with the origin `null`.
    response.headers["Referrer-Policy"] = "same-origin"
    return remember(response)


@pages.get("/<item_id>")
def item_page(item_id: str) -> str:
    """Show what is for sale, and the way to what this browser has bought."""
    item = get_item(session(), item_id)
    saw_the_wall(item_id)
    return _show_item(item)


@pages.post("/<item_id>")
def buy(item_id: str) -> ResponseReturnValue:
    """Create an invoice whose verifier stays in a cookie, and show it."""
    same_origin()
    check_limit(INVOICES)
    item = get_item(session(), item_id)
    check_limit(SITE_INVOICES, item.site_id)
    verifier = secrets.token_urlsafe(VERIFIER_BYTES)
    order = InvoiceOrder(item_id, challenge_of(verifier), ANY)
    invoice_id = in_transaction(session(), lambda: create_invoice(deps(), session(), order).id)
    ask_for_payment(deps(), session(), invoice_id, ANY)
    return to_invoice(item_id, invoice_id, verifier)


@pages.post("/<item_id>/balance")
def buy_from_balance(item_id: str) -> ResponseReturnValue:
    """Let the reader's balance pay the price that they saw, once however often it is sent."""
    same_origin()
    check_limit(UNLOCKS)
    item, known = get_item(session(), item_id), holder()
    if known is None:
        return redirect(with_next(SIGN_IN, f"/pay/{item.id}"), 303)
    key = request.form.get("key") or None
    order = UnlockOrder(known.wallet_id, item.id, key, max_amount_msat=price_seen_msat())
    try:
        unlock_or_fill(deps(), session(), order)
    except REFUSALS as error:
        return _show_item(item, balance_error=said(error)), status_of(type(error))
    return redirect(f"/pay/{item.id}/read", 303)


@pages.get("/<item_id>/<any(balance,restore):form>")
def form_again(item_id: str, form: str) -> ResponseReturnValue:
    """Lead whoever opens a form's address anew to the page that has the form."""
    return redirect(f"/pay/{item_id}", 303)


@pages.get("/<path:unknown>")
def not_found(unknown: str) -> ResponseReturnValue:
    """Say in words that nothing is there; without this a browser would be shown JSON."""
    raise NotFound()


@pages.get("/<item_id>/read")
def read_own(item_id: str) -> ResponseReturnValue:
    """Show what the reader's wallet has bought."""
    item, known = get_item(session(), item_id), holder()
    if known is None:
        return redirect(with_next(SIGN_IN, request.path), 303)
    try:
        owned = collect_of_wallet(deps(), session(), known.wallet_id, item.id)
    except (UnknownPurchase, PurchaseEnded):
        return redirect(f"/pay/{item.id}", 303)
    context = {
        "item": item_view(deps(), session(), item).model_dump(),
        "wallet": wallet_view(deps(), session(), known.wallet_id),
    }
    return _show_opened(item, owned.grant, context)


@pages.post("/<item_id>/restore")
def restore(item_id: str) -> ResponseReturnValue:
    """Open a purchase of another browser with its receipt code."""
    same_origin()
    item = get_item(session(), item_id)
    code = receipt_code_sent()
    if code is None:
        return _show_item(item, gettext(BAD_CODE)), 422
    invoice_id, verifier = code
    try:
        claim_grant(deps(), session(), invoice_id, verifier)
    except (UnknownInvoice, VerifierMismatch):
        return _show_item(item, gettext(BAD_CODE)), 403
    except InvoiceNotPaid:
        # The code is right: the invoice's page says what is missing or kept as credit.
        pass
    if get_invoice(session(), invoice_id).item_id != item.id:
        return _show_item(item, gettext(OTHER_CODE)), 409
    return to_invoice(item.id, invoice_id, verifier)


@pages.get("/invoices/<invoice_id>")
def invoice_page(invoice_id: str) -> ResponseReturnValue:
    """Show how to pay, or what was paid for when this browser paid for it."""
    invoice = get_invoice(session(), invoice_id)
    item = any_item(session(), invoice.item_id)
    verifier = request.cookies.get(VERIFIER_COOKIE)
    if item.kind == ORDER_KIND:
        return show_order_invoice(invoice, item, verifier)
    if verifier and _is_bought(invoice):
        return _show_purchase(invoice, item, verifier)
    return _show_invoice(invoice, item, verifier)


@pages.post("/invoices/<invoice_id>")
def redeem(invoice_id: str) -> ResponseReturnValue:
    """Buy the item from the credit of an invoice that was paid late or short."""
    same_origin()
    verifier = request.cookies.get(VERIFIER_COOKIE, "")
    in_transaction(session(), lambda: redeem_credit(deps(), session(), invoice_id, verifier))
    return redirect(request.path, 303)


@pages.post("/invoices/<invoice_id>/to-balance")
def move_to_balance(invoice_id: str) -> ResponseReturnValue:
    """Move what is left over of an invoice to the reader's balance."""
    same_origin()
    known = require_holder()
    verifier = request.cookies.get(VERIFIER_COOKIE, "")
    try:
        in_transaction(
            session(),
            lambda: claim_to_balance(deps(), session(), known.wallet_id, invoice_id, verifier),
        )
    except (NoCredit, CreditNotMovable) as error:
        invoice = get_invoice(session(), invoice_id)
        item = any_item(session(), invoice.item_id)
        show = show_order_invoice if item.kind == ORDER_KIND else _show_invoice
        page = make_response(show(invoice, item, verifier, error=said(error)))
        return page, status_of(type(error))
    return redirect("/wallet?done=claimed", 303)


def _show_item(item: Item, restore_error: str = "", balance_error: str = "") -> str:
    known = invoice_of_browser(item)
    view = item_view(deps(), session(), item)
    return render_template(
        "checkout_item.html",
        item=view.model_dump(),
        action_url=f"/pay/{item.id}",
        balance=balance_offer(item, view.price.amount_msat),
        balance_error=balance_error,
        from_elsewhere=from_elsewhere(),
        gift_msat=gift_on_offer_msat(deps(), session()),
        invoice=invoice_view(deps(), session(), known).model_dump() if known else None,
        bought=known is not None and _is_bought(known),
        restore_error=restore_error,
    )


def _is_bought(invoice: Invoice) -> bool:
    return invoice.state == InvoiceState.PAID or bool(invoice.redeemed_msat)


def _context(
    invoice: Invoice, item: Item, verifier: str | None
) -> tuple[InvoiceView, dict[str, object]]:
    view = invoice_view(deps(), session(), invoice)
    movable = verifier and not invoice.direct and holder() is not None
    return view, {
        "item": item_view(deps(), session(), item).model_dump(),
        "invoice": view.model_dump(),
        "way": request.args.get("way", ""),
        "still": "still" in request.args,
        "action_url": f"/pay/{item.id}",
        "redeem_url": f"/pay/invoices/{view.id}",
        "movable_msat": view.credit_msat if movable else 0,
    }


def _show_invoice(
    invoice: Invoice, item: Item, verifier: str | None, ended: bool = False, error: str = ""
) -> str:
    view, context = _context(invoice, item, verifier)
    context |= {"ended": ended, "error": error}
    code = f"{view.id}.{verifier}" if verifier else None
    return render_template("checkout_invoice.html", receipt_code=code, **context)


def _show_purchase(invoice: Invoice, item: Item, verifier: str) -> ResponseReturnValue:
    try:
        collected = claim_grant(deps(), session(), invoice.id, verifier)
        open_item(deps(), session(), item.id, collected.grant)
    except GrantExpired:
        return _show_invoice(invoice, item, None, ended=True)
    except BitcacheError:
        return _show_invoice(invoice, item, None)
    _, context = _context(invoice, item, verifier)
    context["receipt_code"] = f"{invoice.id}.{verifier}"
    return _show_opened(item, collected.grant, context)


def _show_opened(item: Item, grant: str, context: dict[str, object]) -> ResponseReturnValue:
    opened = open_item(deps(), session(), item.id, grant)
    if opened.item.open_url is not None:
        return _show_hand_over(opened.item, grant, context)
    if opened.item.file_path is None:
        # The page is on our origin: what a merchant wrote must not run here.
        context["content_html"] = Markup(nh3.clean(article_of(opened.item)))  # noqa: S704  # cleaned
        page = make_response(render_template("checkout_content.html", **context))
        # Its pictures are where the author put them: on the site.
        policy = page_policy(origins_of(session(), item.site_id))
        page.headers["Content-Security-Policy"] = policy
        return page
    link = download_link(deps(), session(), opened)
    context["download_url"] = download_url(item.id, link)
    return render_template("checkout_file.html", **context)


def _show_hand_over(item: Item, grant: str, context: dict[str, object]) -> Response:
    """Show the way to what the site holds itself; the grant travels in the form's body."""
    there = hand_over(session(), item)
    if there is None:
        return make_response(render_template("checkout_elsewhere.html", open_url="", **context))
    open_url, origin = there
    context |= {"open_url": open_url, "grant": grant}
    page = make_response(render_template("checkout_elsewhere.html", **context))
    page.headers["Content-Security-Policy"] = page_policy(form_origins=[origin])
    return page
