"""/dashboard/<merchant>/orders/links: payment links, their buttons, codes to print."""

from collections.abc import Mapping

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.money import CURRENCY_EXPONENTS, SAT
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.order_words import site_of_form, tax_ppm_of
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.http.qr import qr_svg
from bitcache_server.i18n import mark as _
from bitcache_server.models.orders import PaymentLink
from bitcache_server.services.audit_trail import note
from bitcache_server.services.catalog import list_sites
from bitcache_server.services.members import SELLERS, Member
from bitcache_server.services.merchants import get_site
from bitcache_server.services.once import in_transaction
from bitcache_server.services.order_links import NewLink, add_link, get_link, list_links

PAGE_SIZE = 50
NOTICES = {
    "created": _("The payment link is made."),
    "closed": _("The link makes no more orders."),
    "opened": _("The link makes orders again."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the list, one link, its code and the page to print."""
    base = "/<merchant_id>/orders/links"
    pages.add_url_rule(base, "order_links", show)
    pages.add_url_rule(base, "make_order_link", make, methods=["POST"])
    one = f"{base}/<link_id>"
    pages.add_url_rule(one, "order_link", show_one)
    pages.add_url_rule(f"{one}/print", "print_order_link", show_print)
    pages.add_url_rule(f"{one}/qr.svg", "order_link_code", code)
    pages.add_url_rule(f"{one}/use", "use_order_link", use, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show the links and the form for a new one."""
    return _show(require_member(merchant_id, SELLERS), {})


def _show(
    member: Member, typed: Mapping[str, str], error: BitcacheError | None = None
) -> ResponseReturnValue:
    found = list_links(session(), member.merchant_id, request.args.get("cursor"), PAGE_SIZE)
    return page(
        "dashboard/order_links.html",
        status=status_of(type(error)) if error else 200,
        here="orders",
        links=found.rows,
        next_cursor=found.next_cursor,
        sites=list_sites(session(), member.merchant_id),
        currencies=[SAT, *sorted(CURRENCY_EXPONENTS)],
        typed=typed,
        notice="" if error else done_notice(NOTICES),
        failed=said(error) if error else "",
    )


def make(merchant_id: str) -> ResponseReturnValue:
    """Add a payment link."""
    member = require_member(merchant_id, SELLERS)
    try:
        link_id = in_transaction(session(), lambda: _make(member))
    except BitcacheError as error:
        return _show(member, request.form, error)
    path = f"/dashboard/{member.merchant_id}/orders/links/{link_id}"
    return redirect(f"{path}?done=created", 303)


def _make(member: Member) -> str:
    form = request.form
    new = NewLink(
        title=form.get("title", ""),
        currency=form.get("currency", SAT),
        price=form.get("price", "").strip(),
        least=form.get("least", "").strip(),
        most=form.get("most", "").strip(),
        tax_ppm=tax_ppm_of(form.get("tax", "")),
        return_url=form.get("return_url") or None,
    )
    link = add_link(deps(), session(), site_of_form(member.merchant_id), new)
    _note(member, link, "payment_link.created")
    return link.id


def _link(member: Member, link_id: str) -> PaymentLink:
    return get_link(session(), link_id, PaymentLink.merchant_id == member.merchant_id)


def _url(link: PaymentLink) -> str:
    return f"{deps().settings.public_url}/l/{link.id}"


def show_one(merchant_id: str, link_id: str) -> ResponseReturnValue:
    """Show a link: where it leads, its button for a page, its code."""
    return _page("dashboard/order_link.html", merchant_id, link_id)


def show_print(merchant_id: str, link_id: str) -> ResponseReturnValue:
    """Show the code alone, large, to be printed."""
    return _page("dashboard/order_link_print.html", merchant_id, link_id)


def _page(template: str, merchant_id: str, link_id: str) -> ResponseReturnValue:
    member = require_member(merchant_id, SELLERS)
    link = _link(member, link_id)
    return page(
        template,
        here="orders",
        link=link,
        url=_url(link),
        site=get_site(session(), link.site_id),
        notice=done_notice(NOTICES),
    )


def code(merchant_id: str, link_id: str) -> ResponseReturnValue:
    """Return the link as a QR code."""
    link = _link(require_member(merchant_id, SELLERS), link_id)
    return Response(qr_svg(_url(link)), content_type="image/svg+xml")


def use(merchant_id: str, link_id: str) -> ResponseReturnValue:
    """Close the link, or open it again; orders that it has made stay as they are."""
    member = require_member(merchant_id, SELLERS)
    closes = request.form.get("use") == "close"
    in_transaction(session(), lambda: _use(member, link_id, closes))
    path = f"/dashboard/{member.merchant_id}/orders/links/{link_id}"
    return redirect(f"{path}?done={'closed' if closes else 'opened'}", 303)


def _use(member: Member, link_id: str, closes: bool) -> None:
    link = _link(member, link_id)
    link.closed_at = deps().clock() if closes else None
    _note(member, link, "payment_link.closed" if closes else "payment_link.opened")


def _note(member: Member, link: PaymentLink, action: str) -> None:
    note(
        deps(),
        session(),
        action,
        merchant_id=member.merchant_id,
        account_id=member.account_id,
        subject=link.id,
        title=link.title,
    )
