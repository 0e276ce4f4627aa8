"""Documents for who has paid: by the browser's verifier, or by its wallet."""

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import UnknownInvoice, UnknownOrder
from bitcache_server.http.checkout_cookies import VERIFIER_COOKIE
from bitcache_server.http.context import deps, session
from bitcache_server.http.documents import invoice_of_order, receipt_of_invoice
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.models.sales import Invoice
from bitcache_server.services.collect import claim_grant, verified_invoice
from bitcache_server.services.items import any_item
from bitcache_server.services.orders import get_order, order_of_item


def add_routes(pages: Blueprint) -> None:
    """Add the files to the pages of orders."""
    one = "/pay/invoices/<invoice_id>"
    pages.add_url_rule(f"{one}/receipt.pdf", "receipt_pdf", receipt)
    pages.add_url_rule(f"{one}/invoice.pdf", "invoice_pdf", invoice)
    pages.add_url_rule("/pay/orders/<order_id>/invoice.pdf", "wallet_invoice_pdf", of_wallet)


def receipt(invoice_id: str) -> ResponseReturnValue:
    """Return the receipt of what this browser has paid."""
    found = _own(invoice_id)
    verifier = request.cookies.get(VERIFIER_COOKIE, "")
    collected = claim_grant(deps(), session(), found.id, verifier)
    return receipt_of_invoice(found, any_item(session(), found.item_id), collected)


def invoice(invoice_id: str) -> ResponseReturnValue:
    """Return the invoice of the order that this browser has paid."""
    found = _own(invoice_id)
    order = order_of_item(session(), found.item_id)
    if order.paid_by != found.id:
        raise UnknownInvoice("This payment has not paid the order.")
    return invoice_of_order(order)


def of_wallet(order_id: str) -> ResponseReturnValue:
    """Return the invoice of the order that this browser's wallet has paid."""
    order = get_order(session(), order_id)
    if order.paid_by != require_holder().wallet_id:
        raise UnknownOrder()
    return invoice_of_order(order)


def _own(invoice_id: str) -> Invoice:
    """Return the invoice whose verifier this browser has; raise VerifierMismatch."""
    return verified_invoice(session(), invoice_id, request.cookies.get(VERIFIER_COOKIE, ""))
