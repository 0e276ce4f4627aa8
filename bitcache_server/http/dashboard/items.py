"""/dashboard/<merchant>/items: what is sold, prices in place, changes of many at once."""

from collections.abc import Mapping, Sequence

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import BitcacheError, InvalidRequest
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.item_forms import (
    CURRENCIES,
    DEEDS,
    FAULTS,
    fault_words,
    list_address,
    list_words,
    read_change,
    read_terms,
)
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, ngettext
from bitcache_server.i18n import mark as _
from bitcache_server.services.catalog import list_sites
from bitcache_server.services.item_changes import (
    MOST_AT_ONCE,
    Change,
    Planned,
    change_item,
    change_items,
    item_of,
    plan_changes,
    seen_plan,
)
from bitcache_server.services.item_list import ItemQuery, Order, find_items, has_items
from bitcache_server.services.item_terms import terms_of
from bitcache_server.services.members import SELLERS, Member
from bitcache_server.services.once import in_transaction

ORDERS: dict[str, str] = {
    Order.NEWEST: _("Newest first"),
    Order.TITLE: _("By title"),
    Order.PRICE: _("Dearest first"),
    Order.REVENUE: _("Most revenue first"),
    Order.CONVERSION: _("Best conversion first"),
}
PERIODS = (7, 30, 90, 365)
PERIOD_DAYS = 30
NOTICES = {
    "changed": _("It is changed. It holds for new invoices; those that are open keep theirs."),
    "same": _("Nothing was different."),
    "archived": _("It is not sold any more. Who has bought it can still open it."),
    "restored": _("It is sold again."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the list and its forms."""
    base = "/<merchant_id>/items"
    pages.add_url_rule(base, "items", show)
    pages.add_url_rule(f"{base}/bulk", "change_items", change_many, methods=["POST"])
    pages.add_url_rule(f"{base}/<item_id>/terms", "change_terms", change_one, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show the items."""
    return _show(require_member(merchant_id, SELLERS))


def change_one(merchant_id: str, item_id: str) -> ResponseReturnValue:
    """Change price and access time of one item, in its row."""
    member = require_member(merchant_id, SELLERS)
    item, _site = item_of(session(), merchant_id, item_id)
    before = terms_of(item)
    try:
        terms = read_terms(before)
        changed = in_transaction(
            session(), lambda: change_item(deps(), session(), member, item_id, terms)
        )
    except FAULTS as error:
        return _show(member, error, open_id=item_id, typed=request.form)
    return redirect(list_address(merchant_id, "changed" if changed else "same"), 303)


def change_many(merchant_id: str) -> ResponseReturnValue:
    """Show what a change of many items would do; do it for who has seen that."""
    member = require_member(merchant_id, SELLERS)
    chosen = request.form.getlist("item")
    try:
        if not chosen:
            raise InvalidRequest(gettext("Choose the items first."))
        if len(chosen) > MOST_AT_ONCE:
            raise InvalidRequest(
                gettext("Choose at most %(most)s items at once.", most=MOST_AT_ONCE)
            )
        change = read_change()
        plan = plan_changes(deps(), session(), merchant_id, chosen, change)
    except FAULTS as error:
        return _show(member, error, typed=request.form)
    if "seen" in request.form:
        return _change_seen(member, plan, change)
    return _confirm(plan)


def _change_seen(member: Member, plan: Sequence[Planned], change: Change) -> ResponseReturnValue:
    ids = [one.item.id for one in plan]
    seen = request.form["seen"]
    number = in_transaction(
        session(), lambda: change_items(deps(), session(), member, ids, change, seen)
    )
    if number is None:
        again = plan_changes(deps(), session(), member.merchant_id, ids, change)
        return _confirm(again, gettext("Something was changed in the meantime. Look once more."))
    return redirect(list_address(member.merchant_id, "many", cursor="", count=str(number)), 303)


def _confirm(plan: Sequence[Planned], failed: str = "") -> ResponseReturnValue:
    return page(
        "dashboard/items_confirm.html",
        status=409 if failed else 200,
        here="items",
        plan=plan,
        number=sum(one.changes for one in plan),
        seen=seen_plan(plan),
        deed=DEEDS[request.form["deed"]],
        typed=request.form,
        back=list_address(plan_merchant()),
        action=f"/dashboard/{plan_merchant()}/items/bulk{list_words()}",
        failed=failed,
    )


def plan_merchant() -> str:
    """Return the merchant whose items are being changed."""
    return str((request.view_args or {})["merchant_id"])


def _show(
    member: Member,
    error: BitcacheError | None = None,
    *,
    open_id: str = "",
    typed: Mapping[str, str] | None = None,
) -> ResponseReturnValue:
    merchant_id, days = member.merchant_id, period_days()
    query = read_query(days)
    found = find_items(session(), merchant_id, query, request.args.get("cursor"))
    following = found.next_cursor
    return page(
        "dashboard/items.html",
        status=status_of(type(error)) if error else 200,
        here="items",
        base=f"/dashboard/{merchant_id}/items",
        here_words=list_words(),
        rows=found.rows,
        any=bool(found.rows) or has_items(session(), merchant_id),
        query=query,
        days=days,
        periods=PERIODS,
        orders=ORDERS,
        deeds=[d for d in DEEDS if d != ("archive" if query.archived else "restore")],
        deed_words=DEEDS,
        sites=list_sites(session(), merchant_id),
        currencies=CURRENCIES,
        next_page=list_address(merchant_id, cursor=following) if following else "",
        first_page=list_address(merchant_id, cursor="") if request.args.get("cursor") else "",
        open_id=open_id,
        typed=typed or {},
        chosen=request.form.getlist("item"),
        failed=fault_words(error) if error else "",
        notice=_notice(),
    )


def read_query(days: int) -> ItemQuery:
    """Return what the address asks for; what it does not say or says wrongly is as usual."""
    args = request.args
    order = args.get("order", "")
    return ItemQuery(
        text=args.get("q", "").replace("\x00", ""),
        site_id=args.get("site", "").replace("\x00", ""),
        archived=args.get("show") == "archived",
        order=Order(order) if order in ORDERS else Order.NEWEST,
        since=deps().clock() - days * SECONDS_PER_DAY,
    )


def period_days() -> int:
    """Return for how many days back visits and sales are counted."""
    text = request.args.get("days", "")
    return int(text) if text in map(str, PERIODS) else PERIOD_DAYS


def _notice() -> str:
    done = request.args.get("done", "")
    if done == "many":
        count = request.args.get("count", "")
        number = int(count) if count.isascii() and count.isdecimal() and len(count) < 5 else 0
        return ngettext("%(num)s item is changed.", "%(num)s items are changed.", number)
    words = NOTICES.get(done)
    return gettext(words) if words else ""
