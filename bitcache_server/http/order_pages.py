"""The hosted checkout of orders: what is ordered, how it is paid, and the way back to the shop."""

import secrets

from flask import Blueprint, Flask, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import UnknownInvoice, VerifierMismatch
from bitcache_server.domain.order_state import OrderState
from bitcache_server.http import document_pages, order_doors
from bitcache_server.http.back import with_next
from bitcache_server.http.checkout_cookies import (
    invoice_of_browser,
    receipt_code_sent,
    to_invoice,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.error_pages import error_page
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import from_elsewhere, same_origin
from bitcache_server.http.language import gettext, remember, said
from bitcache_server.http.limits import INVOICES, READS, SITE_INVOICES, UNLOCKS, check_limit
from bitcache_server.http.offer_parts import (
    BAD_CODE,
    OTHER_CODE,
    REFUSALS,
    balance_offer,
    price_seen_msat,
)
from bitcache_server.http.order_parts import order_context
from bitcache_server.http.wallet.cookie import holder
from bitcache_server.http.wallet.session import SIGN_IN
from bitcache_server.models.orders import Order
from bitcache_server.services.collect import verified_invoice
from bitcache_server.services.create_invoice import InvoiceOrder, create_invoice
from bitcache_server.services.fill_wallet import unlock_or_fill
from bitcache_server.services.gifts import gift_on_offer_msat
from bitcache_server.services.items import any_item
from bitcache_server.services.once import in_transaction
from bitcache_server.services.orders import get_order
from bitcache_server.services.request_payment import ANY, ask_for_payment
from bitcache_server.services.unlock_item import UnlockOrder
from bitcache_server.services.views import invoice_view, item_view
from bitcache_server.tokens.verifier import challenge_of

VERIFIER_BYTES = 32


def register(app: Flask) -> None:
    """Add the pages of orders, signed links and payment links to an app."""
    pages = Blueprint("orders", __name__)
    pages.register_error_handler(Exception, error_page)
    pages.before_request(_limit)
    pages.after_request(_page_headers)
    pages.add_url_rule("/pay/orders/<order_id>", "order_page", order_page)
    pages.add_url_rule("/pay/orders/<order_id>", "pay", pay, methods=["POST"])
    pages.add_url_rule("/pay/orders/<order_id>/balance", "again", form_again)
    pages.add_url_rule(
        "/pay/orders/<order_id>/balance", "pay_from_balance", pay_from_balance, methods=["POST"]
    )
    pages.add_url_rule("/pay/orders/<order_id>/restore", "restore_again", form_again)
    pages.add_url_rule("/pay/orders/<order_id>/restore", "restore", restore, methods=["POST"])
    order_doors.add_routes(pages)
    document_pages.add_routes(pages)
    app.register_blueprint(pages)


def _limit() -> None:
    check_limit(READS)


def _page_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # With `no-referrer` a browser would send our own forms with the origin `null`.
    response.headers["Referrer-Policy"] = "same-origin"
    return remember(response)


def order_page(order_id: str) -> ResponseReturnValue:
    """Show what is ordered and what has become of it."""
    return _show(get_order(session(), order_id))


def form_again(order_id: str) -> ResponseReturnValue:
    """Lead whoever opens a form's address anew to the page that has the form."""
    return redirect(f"/pay/orders/{order_id}", 303)


def pay(order_id: str) -> ResponseReturnValue:
    """Create an invoice whose verifier stays in a cookie, and show it."""
    same_origin()
    check_limit(INVOICES)
    order = get_order(session(), order_id)
    item_id, site_id = order.item_id, order.site_id
    check_limit(SITE_INVOICES, site_id)
    verifier = secrets.token_urlsafe(VERIFIER_BYTES)
    wanted = InvoiceOrder(item_id, challenge_of(verifier), ANY)
    invoice_id = in_transaction(session(), lambda: create_invoice(deps(), session(), wanted).id)
    ask_for_payment(deps(), session(), invoice_id, ANY)
    return to_invoice(f"orders/{order_id}", invoice_id, verifier)


def pay_from_balance(order_id: str) -> ResponseReturnValue:
    """Let the reader's balance pay the price that they saw, once however often it is sent."""
    same_origin()
    check_limit(UNLOCKS)
    order, known = get_order(session(), order_id), holder()
    path = f"/pay/orders/{order_id}"
    if known is None:
        return redirect(with_next(SIGN_IN, path), 303)
    key = request.form.get("key") or None
    wanted = UnlockOrder(known.wallet_id, order.item_id, key, max_amount_msat=price_seen_msat())
    try:
        unlock_or_fill(deps(), session(), wanted)
    except REFUSALS as error:
        session().rollback()
        return _show(get_order(session(), order_id), said(error)), status_of(type(error))
    return redirect(path, 303)


def restore(order_id: str) -> ResponseReturnValue:
    """Let this browser see a payment for the order that another one made, by its receipt code."""
    same_origin()
    order, code = get_order(session(), order_id), receipt_code_sent()
    if code is None:
        return _show(order, restore_error=gettext(BAD_CODE)), 422
    try:
        invoice = verified_invoice(session(), *code)
    except (UnknownInvoice, VerifierMismatch):
        return _show(order, restore_error=gettext(BAD_CODE)), 403
    if invoice.item_id != order.item_id:
        return _show(order, restore_error=gettext(OTHER_CODE)), 409
    return to_invoice(f"orders/{order_id}", *code)


def _show(order: Order, balance_error: str = "", restore_error: str = "") -> Response:
    item = any_item(session(), order.item_id)
    view = item_view(deps(), session(), item)
    known, reader = invoice_of_browser(item), holder()
    is_open = order.state == OrderState.OPEN and deps().clock() < order.expires_at
    paid_here = order.paid_by is not None and (
        (known is not None and known.id == order.paid_by)
        or (reader is not None and reader.wallet_id == order.paid_by)
    )
    html = render_template(
        "checkout_order.html",
        **order_context(order),
        item=view.model_dump(),
        is_open=is_open,
        paid_here=paid_here,
        by_wallet=reader is not None and reader.wallet_id == order.paid_by,
        balance=balance_offer(item, view.price.amount_msat) if is_open else None,
        balance_error=balance_error,
        restore_error=restore_error,
        from_elsewhere=from_elsewhere(),
        gift_msat=gift_on_offer_msat(deps(), session()) if is_open else 0,
        invoice=invoice_view(deps(), session(), known).model_dump() if known else None,
    )
    return make_response(html)
