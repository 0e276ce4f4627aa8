"""What a browser keeps of the checkout, in two cookies.

The verifier lives in a cookie that only the server reads (RFC 6265) and that is sent
to the invoice's page alone. A second cookie, without any secret, names the invoice to
the item's page: a reader who follows the site's link again finds what was bought.
"""

import re

from flask import Response, make_response, redirect, request

from bitcache_server.domain.errors import UnknownInvoice
from bitcache_server.http.context import deps, session
from bitcache_server.models.catalog import Item
from bitcache_server.models.sales import Invoice
from bitcache_server.services.create_invoice import get_invoice

VERIFIER_COOKIE = "bitcache_verifier"
INVOICE_COOKIE = "bitcache_invoice"
#: Browsers keep no cookie longer than 400 days.
COOKIE_AGE_S = 400 * 86_400
INVOICE_ID = re.compile(r"in_[A-Za-z0-9_-]{1,64}")
#: An invoice's id and a verifier as RFC 7636 allows it.
_RECEIPT_CODE = re.compile(rf"({INVOICE_ID.pattern})\.([A-Za-z0-9._~-]{{43,128}})")


def to_invoice(item_id: str, invoice_id: str, verifier: str) -> Response:
    """Lead to the invoice's page, and let the browser keep what opens it."""
    path = f"/pay/invoices/{invoice_id}"
    response = make_response(redirect(path, 303))
    for name, value, sent_to in (
        (VERIFIER_COOKIE, verifier, path),
        (INVOICE_COOKIE, invoice_id, f"/pay/{item_id}"),
    ):
        response.set_cookie(
            name,
            value,
            max_age=COOKIE_AGE_S,
            path=sent_to,
            httponly=True,
            secure=deps().settings.public_url.startswith("https:"),
            samesite="Lax",
        )
    return response


def receipt_code_sent() -> tuple[str, str] | None:
    """Return the invoice and the verifier of the form's receipt code; None where it is none.

    Mail programs add white space to a receipt code.
    """
    found = _RECEIPT_CODE.fullmatch("".join(request.form.get("code", "").split()))
    return (found[1], found[2]) if found else None


def invoice_of_browser(item: Item) -> Invoice | None:
    """Return the invoice that this browser made for an item, or None."""
    invoice_id = request.cookies.get(INVOICE_COOKIE, "")
    if not INVOICE_ID.fullmatch(invoice_id):
        return None
    try:
        invoice = get_invoice(session(), invoice_id)
    except UnknownInvoice:
        return None
    return invoice if invoice.item_id == item.id else None
