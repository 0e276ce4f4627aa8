"""/dashboard/<merchant>/orders: the orders of all sites of a merchant, and one made by hand."""

from collections.abc import Mapping

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import BitcacheError, InvalidRequest
from bitcache_server.domain.money import CURRENCY_EXPONENTS, SAT
from bitcache_server.domain.order_state import OrderState
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.dashboard.order_words import STATES, site_of_form, tax_ppm_of
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.i18n import mark as _
from bitcache_server.models.orders import Order
from bitcache_server.services.audit_trail import note
from bitcache_server.services.catalog import list_sites
from bitcache_server.services.members import SELLERS, Member
from bitcache_server.services.once import in_transaction
from bitcache_server.services.order_lines import Line
from bitcache_server.services.orders import NewOrder, create_order, list_orders
from bitcache_server.services.quotes import parse_item_price
from bitcache_server.tokens.secrets import new_id

PAGE_SIZE = 50
MAX_SEARCH_CHARS = 100
#: Lines of the form; who needs more sends the order through the API.
FORM_LINES = 5


def add_routes(pages: Blueprint) -> None:
    """Add the list and the form."""
    base = "/<merchant_id>/orders"
    pages.add_url_rule(base, "orders", show)
    pages.add_url_rule(f"{base}/new", "new_order", show_form)
    pages.add_url_rule(f"{base}/new", "make_order", make, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show one page of the orders, newest first."""
    member = require_member(merchant_id, SELLERS)
    wanted, search = request.args.get("state", ""), request.args.get("q", "").strip()
    state = OrderState(wanted) if wanted in list(OrderState) else None
    found = list_orders(
        session(),
        Order.merchant_id == member.merchant_id,
        request.args.get("cursor"),
        PAGE_SIZE,
        state=state,
        reference=search[:MAX_SEARCH_CHARS].replace("\x00", ""),
    )
    return page(
        "dashboard/orders.html",
        here="orders",
        orders=found.rows,
        next_cursor=found.next_cursor,
        states=STATES,
        state=state or "",
        search=search,
        has_sites=bool(list_sites(session(), member.merchant_id)),
    )


def show_form(merchant_id: str) -> ResponseReturnValue:
    """Show the form for an order by hand."""
    return _show_form(require_member(merchant_id, SELLERS), {})


def _show_form(
    member: Member, typed: Mapping[str, str], error: BitcacheError | None = None
) -> ResponseReturnValue:
    return page(
        "dashboard/order_new.html",
        status=status_of(type(error)) if error else 200,
        here="orders",
        sites=list_sites(session(), member.merchant_id),
        currencies=[SAT, *sorted(CURRENCY_EXPONENTS)],
        count=FORM_LINES,
        typed=typed,
        reference=typed.get("reference") or f"H-{new_id('x')[2:10]}",
        failed=said(error) if error else "",
    )


def make(merchant_id: str) -> ResponseReturnValue:
    """Create an order; the same form sent twice makes one."""
    member = require_member(merchant_id, SELLERS)
    try:
        order_id = in_transaction(session(), lambda: _create(member))
    except BitcacheError as error:
        return _show_form(member, request.form, error)
    return redirect(f"/dashboard/{member.merchant_id}/orders/{order_id}?done=created", 303)


def _create(member: Member) -> str:
    form = request.form
    site = site_of_form(member.merchant_id)
    currency = form.get("currency", SAT)
    lines = [line for n in range(FORM_LINES) if (line := _line(n, currency))]
    if not lines:
        raise InvalidRequest(_("Write at least one line with a title and a price."))
    new = NewOrder(
        reference=form.get("reference", ""),
        currency=currency,
        lines=lines,
        customer_ref=form.get("customer_ref") or None,
        return_url=form.get("return_url") or None,
    )
    order = create_order(deps(), session(), site, new)
    if order.created_at == deps().clock():
        note(
            deps(),
            session(),
            "order.created",
            merchant_id=member.merchant_id,
            account_id=member.account_id,
            subject=order.id,
            reference=order.reference,
        )
    return order.id


def _line(number: int, currency: str) -> Line | None:
    """Return a line of the form, or None where nothing was written; raise InvalidRequest."""
    form = request.form
    title, price = (form.get(f"{name}_{number}", "").strip() for name in ("title", "price"))
    if not title and not price:
        return None
    quantity = form.get(f"quantity_{number}", "").strip() or "1"
    if not (quantity.isascii() and quantity.isdigit() and len(quantity) < 8):
        raise InvalidRequest(_("A quantity is a whole number."))
    is_less = price.startswith("-")
    amount_minor = parse_item_price(price.removeprefix("-"), currency)[1]
    tax_ppm = tax_ppm_of(form.get(f"tax_{number}", ""))
    return Line(title, int(quantity), -amount_minor if is_less else amount_minor, tax_ppm)
