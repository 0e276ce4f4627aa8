"""/dashboard/<merchant>/sales/<sale>: one sale in full, and giving it back."""

from flask import Blueprint, Response, redirect
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import (
    AlreadyRefunded,
    BitcacheError,
    MerchantBalanceTooLow,
    RefundNotOffered,
    StorageBusy,
    UnknownPurchase,
)
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.sale_query import KIND_WORDS, RAIL_WORDS, STATE_WORDS
from bitcache_server.http.dashboard.sales import local_words
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, said
from bitcache_server.i18n import mark as _
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.members import EVERYBODY, SELLERS, Member
from bitcache_server.services.merchant_settings import percent_text
from bitcache_server.services.once import in_transaction
from bitcache_server.services.sale_detail import refund_sale, sale_detail

NOTICES = {
    "refunded": _("It is given back. This page shows it within a few seconds."),
    "before": _("It was given back before; nothing happened this time."),
}
_FAILURES: dict[str, str] = {
    MerchantBalanceTooLow.code: _(
        "Your balance here is smaller than what you got for this sale. It was not given back."
    ),
    UnknownPurchase.code: _("The payment behind this sale vanished; nobody has its money."),
    RefundNotOffered.code: _("This sale cannot be given back here."),
    StorageBusy.code: _("The server is busy with this sale. Nothing was changed; try again."),
}
BY_WORDS: dict[str, str] = {
    "merchant": _("Given back by you"),
    "reader": _("Returned by the reader"),
    "undo": _("Undone by the reader"),
}
DELIVERY_WORDS: dict[str, str] = {
    "waiting": _("Waiting"),
    "delivered": _("Delivered"),
    "failed": _("Failed"),
}


def add_routes(pages: Blueprint) -> None:
    """Add the page, the question and the form."""
    base = "/<merchant_id>/sales/<sale_id>"
    pages.add_url_rule(base, "sale", show)
    pages.add_url_rule(f"{base}/refund", "refund_question", ask)
    pages.add_url_rule(f"{base}/refund", "refund_sale", give_back, methods=["POST"])


def show(merchant_id: str, sale_id: str) -> Response:
    """Show one sale in full."""
    member = require_member(merchant_id, EVERYBODY)
    return _page("dashboard/sale.html", member, sale_id)


def ask(merchant_id: str, sale_id: str) -> Response:
    """Ask once more before money goes back."""
    return _page("dashboard/sale_refund.html", require_member(merchant_id, SELLERS), sale_id)


def give_back(merchant_id: str, sale_id: str) -> ResponseReturnValue:
    """Give the sale back to its buyer."""
    member = require_member(merchant_id, SELLERS)
    try:
        in_transaction(
            session(),
            lambda: refund_sale(deps(), session(), merchant_id, sale_id, member.account_id),
        )
    except AlreadyRefunded:
        return _done(merchant_id, sale_id, "before")
    except (MerchantBalanceTooLow, RefundNotOffered, StorageBusy, UnknownPurchase) as error:
        return _page("dashboard/sale_refund.html", member, sale_id, error)
    return _done(merchant_id, sale_id, "refunded")


def _done(merchant_id: str, sale_id: str, done: str) -> ResponseReturnValue:
    return redirect(f"/dashboard/{merchant_id}/sales/{sale_id}?done={done}", 303)


def _page(
    template: str, member: Member, sale_id: str, error: BitcacheError | None = None
) -> Response:
    merchant = get_merchant(session(), member.merchant_id)
    zone = merchant.time_zone
    words = _FAILURES.get(error.code) if error else None
    detail = sale_detail(deps(), session(), merchant.id, sale_id)
    return page(
        template,
        status=status_of(type(error)) if error else 200,
        failed=(gettext(words) if words else said(error)) if error else "",
        notice=done_notice(NOTICES),
        here="sales",
        detail=detail,
        sale=detail.sale,
        may_refund=member.may(SELLERS),
        time_zone=zone,
        moment=lambda at: local_words(at, zone),
        tax=percent_text(detail.sale.tax_ppm),
        kinds=KIND_WORDS,
        states=STATE_WORDS,
        rail_words=RAIL_WORDS,
        by=BY_WORDS,
        deliveries=DELIVERY_WORDS,
    )
