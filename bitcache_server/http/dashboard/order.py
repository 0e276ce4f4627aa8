"""/dashboard/<merchant>/orders/<order>: one order in full; cancel it, give it back."""

from collections.abc import Callable

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import BitcacheError, InvoiceNotPaid, UnknownPurchase
from bitcache_server.domain.order_state import OrderState
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.order_words import STATES
from bitcache_server.http.documents import invoice_of_order
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.i18n import mark as _
from bitcache_server.models.orders import Order
from bitcache_server.services.audit_trail import note
from bitcache_server.services.members import SELLERS, Member
from bitcache_server.services.merchants import get_site
from bitcache_server.services.once import in_transaction
from bitcache_server.services.order_views import order_view, payer_of
from bitcache_server.services.orders import cancel_order, get_order, invoices_of
from bitcache_server.services.refund import refund_by_merchant
from bitcache_server.services.settle_invoice import payments_of
from bitcache_server.services.webhook_views import deliveries_about

NOTICES = {
    "created": _("The order is made. Send its link to the customer."),
    "cancelled": _("The order is cancelled. Money that still arrives stays its payer's."),
    "refunded": _("The whole amount was given back."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the page, its forms and its document."""
    one = "/<merchant_id>/orders/<order_id>"
    pages.add_url_rule(one, "order", show)
    pages.add_url_rule(f"{one}/cancel", "cancel_order", cancel, methods=["POST"])
    pages.add_url_rule(f"{one}/refund", "refund_order", refund, methods=["POST"])
    pages.add_url_rule(f"{one}/invoice.pdf", "order_pdf", document)


def _order(member: Member, order_id: str) -> Order:
    return get_order(session(), order_id, Order.merchant_id == member.merchant_id)


def show(merchant_id: str, order_id: str) -> ResponseReturnValue:
    """Show lines, invoices, payments and what the shop was told."""
    member = require_member(merchant_id, SELLERS)
    return _show(member, _order(member, order_id))


def _show(member: Member, order: Order, error: BitcacheError | None = None) -> ResponseReturnValue:
    invoices = invoices_of(session(), order.id)
    return page(
        "dashboard/order.html",
        status=status_of(type(error)) if error else 200,
        here="orders",
        order=order_view(deps(), order).model_dump(),
        site=get_site(session(), order.site_id),
        state_words=STATES[order.state],
        invoices=[(invoice, payments_of(session(), invoice.id)) for invoice in invoices],
        deliveries=deliveries_about(session(), member.merchant_id, order.id),
        document_number=order.document_number,
        notice="" if error else done_notice(NOTICES),
        failed=said(error) if error else "",
    )


def cancel(merchant_id: str, order_id: str) -> ResponseReturnValue:
    """Take no more money for the order."""
    return _do(merchant_id, order_id, _cancel, "cancelled")


def refund(merchant_id: str, order_id: str) -> ResponseReturnValue:
    """Give the whole amount back to who paid."""
    return _do(merchant_id, order_id, _refund, "refunded")


def _do(
    merchant_id: str, order_id: str, deed: Callable[[Member, Order], None], done: str
) -> ResponseReturnValue:
    """Run a deed in a transaction of its own and lead back to the page."""
    member = require_member(merchant_id, SELLERS)
    _order(member, order_id)
    try:
        in_transaction(session(), lambda: deed(member, _order(member, order_id)))
    except BitcacheError as error:
        return _show(member, _order(member, order_id), error)
    return redirect(f"/dashboard/{member.merchant_id}/orders/{order_id}?done={done}", 303)


def _cancel(member: Member, order: Order) -> None:
    _note(member, cancel_order(deps(), session(), order), "order.cancelled")


def _refund(member: Member, order: Order) -> None:
    holder = payer_of(deps(), order)
    if order.state != OrderState.PAID or holder is None:
        raise UnknownPurchase(_("The order is not paid, so there is nothing to give back."))
    site = get_site(session(), order.site_id)
    refund_by_merchant(deps(), session(), site, holder, order.item_id)
    _note(member, order, "order.refunded")


def _note(member: Member, order: Order, action: str) -> None:
    note(
        deps(),
        session(),
        action,
        merchant_id=member.merchant_id,
        account_id=member.account_id,
        subject=order.id,
        reference=order.reference,
    )


def document(merchant_id: str, order_id: str) -> ResponseReturnValue:
    """Return the order's invoice as the customer gets it."""
    member = require_member(merchant_id, SELLERS)
    order = _order(member, order_id)
    try:
        return invoice_of_order(order)
    except InvoiceNotPaid as error:
        return _show(member, _order(member, order_id), error)
