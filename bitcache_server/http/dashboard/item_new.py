"""/dashboard/<merchant>/items/new: price an article or a file."""

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import BitcacheError, InvalidRequest
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.item_forms import (
    CURRENCIES,
    FAULTS,
    fault_words,
    read_hours,
    read_price,
)
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext
from bitcache_server.services.catalog import get_merchant, list_sites
from bitcache_server.services.item_changes import put_on_sale
from bitcache_server.services.items import NewItem, file_of_site
from bitcache_server.services.members import SELLERS, Member
from bitcache_server.services.merchants import site_of_merchant
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code

#: A form that is sent twice adds one item.
FORM = Purpose("item_form", 43_200)


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    pages.add_url_rule("/<merchant_id>/items/new", "new_item", show)
    pages.add_url_rule("/<merchant_id>/items/new", "add_item", add, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show the form."""
    return _show(require_member(merchant_id, SELLERS))


def add(merchant_id: str) -> ResponseReturnValue:
    """Add the item."""
    member = require_member(merchant_id, SELLERS)
    site = site_of_merchant(session(), merchant_id, request.form.get("site", ""))
    try:
        path = request.form.get("path", "").strip()
        new = _new_item(file_of_site(site, path) if path else None)
        item_id = in_transaction(session(), lambda: _add(member, site.id, new))
    except FAULTS as error:
        return _show(member, error)
    # A form that was sent before leads to the list, where its item is the newest.
    below = f"{item_id}?done=added#tag" if item_id else ""
    return redirect(f"/dashboard/{merchant_id}/items/{below}".rstrip("/"), 303)


def _add(member: Member, site_id: str, new: NewItem) -> str:
    if not use_code(deps(), session(), FORM, request.form.get("form", ""), member.account_id):
        return ""
    return put_on_sale(deps(), session(), member, site_id, new).id


def _new_item(file_path: str | None) -> NewItem:
    form = request.form
    is_file = form.get("kind") == "file"
    if not form.get("title", "").strip():
        raise InvalidRequest(gettext("Give it a title."))
    if is_file and not file_path:
        raise InvalidRequest(gettext("Say where the file lies."))
    if not is_file and not form.get("content", "").strip():
        raise InvalidRequest(gettext("The article is empty."))
    price, currency = read_price()
    return NewItem(
        title=form["title"],
        price=price,
        currency=currency,
        teaser=form.get("teaser", ""),
        external_id=form.get("external_id", "").strip() or None,
        access_hours=read_hours(),
        content_html=None if is_file else form["content"],
        file_path=file_path if is_file else None,
        url=form.get("url", "").strip() or None,
    )


def _show(member: Member, error: BitcacheError | None = None) -> ResponseReturnValue:
    usual = {"currency": get_merchant(session(), member.merchant_id).currency}
    return page(
        "dashboard/item_new.html",
        status=status_of(type(error)) if error else 200,
        here="items",
        base=f"/dashboard/{member.merchant_id}/items",
        sites=list_sites(session(), member.merchant_id),
        currencies=CURRENCIES,
        typed=request.form if error else usual,
        form_code=new_code(deps(), FORM, member.account_id),
        failed=fault_words(error) if error else "",
    )
