"""The page of an order's invoice: how to pay it, what has arrived, what became of the money."""

from flask import Response, make_response, render_template, request

from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.order_state import OrderState
from bitcache_server.http.context import deps, session
from bitcache_server.http.headers import page_policy
from bitcache_server.http.order_parts import order_context
from bitcache_server.http.wallet.cookie import holder
from bitcache_server.models.catalog import Item
from bitcache_server.models.sales import Invoice
from bitcache_server.services.orders import order_of_item
from bitcache_server.services.views import invoice_view, item_view


def show_order_invoice(
    invoice: Invoice, item: Item, verifier: str | None, *, error: str = ""
) -> Response:
    """Show the invoice; what only its payer may do is offered to who holds the verifier."""
    order = order_of_item(session(), item.id)
    view = invoice_view(deps(), session(), invoice)
    sold_here = order.paid_by == invoice.id and order.state == OrderState.PAID
    is_open = order.state == OrderState.OPEN and deps().clock() < order.expires_at
    pays = invoice.state == InvoiceState.OPEN and is_open
    movable = verifier and not invoice.direct and holder() is not None
    html = render_template(
        "checkout_order_invoice.html",
        **order_context(order),
        item=item_view(deps(), session(), item).model_dump(),
        invoice=view.model_dump(),
        sold_here=sold_here,
        is_open=is_open,
        pays=pays,
        lightning=_lightning(view.model_dump()) if pays else None,
        way=request.args.get("way", ""),
        still="still" in request.args,
        redeem_url=f"/pay/invoices/{invoice.id}",
        receipt_code=f"{invoice.id}.{verifier}" if verifier else None,
        movable_msat=view.credit_msat if movable else 0,
        direct=invoice.direct,
        error=error,
    )
    page = make_response(html)
    if pays:
        # The browser's own wallet is asked by a script file of ours; the rest needs none.
        page.headers["Content-Security-Policy"] = page_policy(scripts=True)
    return page


def _lightning(view: dict[str, object]) -> object:
    requests = view["requests"]
    if not isinstance(requests, list):
        return None
    return next((request for request in requests if request.get("bolt11")), None)
