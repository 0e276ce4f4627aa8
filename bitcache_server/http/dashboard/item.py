"""/dashboard/<merchant>/items/<item>: one item, its figures, its tag, and what can be changed."""

from collections.abc import Mapping
from dataclasses import replace

import nh3
from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import BitcacheError
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.item_forms import CURRENCIES, FAULTS, fault_words, read_terms
from bitcache_server.http.dashboard.items import NOTICES, PERIODS, period_days
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.headers import page_policy
from bitcache_server.http.language import language
from bitcache_server.i18n import LANGUAGES, direction
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Item, Site
from bitcache_server.services.deliver import file_of
from bitcache_server.services.funnels import funnels
from bitcache_server.services.item_changes import change_item, item_of, set_archived
from bitcache_server.services.item_terms import Terms, terms_of
from bitcache_server.services.members import SELLERS, Member
from bitcache_server.services.once import in_transaction
from bitcache_server.services.origins import origins_of
from bitcache_server.services.site_looks import look_of
from bitcache_server.services.splits import list_splits
from bitcache_server.services.tags import paywall_tag, script_tag
from bitcache_server.services.takings import sales_of_item
from bitcache_server.storage.base import StoredFile

SALES_SHOWN = 10
THEMES: dict[str, str] = {
    "": _("As the reader's system"),
    "light": _("Light"),
    "dark": _("Dark"),
}
_NOTICES = {**NOTICES, "added": _("It is for sale. Put its tag into your page.")}


def add_routes(pages: Blueprint) -> None:
    """Add the page, its forms and the preview."""
    base = "/<merchant_id>/items/<item_id>"
    pages.add_url_rule(base, "item", show)
    pages.add_url_rule(base, "change_item", change, methods=["POST"])
    pages.add_url_rule(f"{base}/archive", "archive_item", archive, methods=["POST"])
    pages.add_url_rule(f"{base}/restore", "restore_item", restore, methods=["POST"])
    pages.add_url_rule(f"{base}/preview", "preview_item", preview)
    pages.add_url_rule(f"{base}/preview.css", "preview_item_css", preview_css)


def show(merchant_id: str, item_id: str) -> ResponseReturnValue:
    """Show an item."""
    member = require_member(merchant_id, SELLERS)
    item, site = item_of(session(), merchant_id, item_id)
    return _show(member, item, site)


def change(merchant_id: str, item_id: str) -> ResponseReturnValue:
    """Change words, price and access of an item."""
    member = require_member(merchant_id, SELLERS)
    item, site = item_of(session(), merchant_id, item_id)
    try:
        changed = _change(member, item_id, read_terms(terms_of(item)))
    except FAULTS as error:
        return _show(member, item, site, error, request.form)
    return _back(item_id, member, "changed" if changed else "same")


def archive(merchant_id: str, item_id: str) -> ResponseReturnValue:
    """Take an item off sale."""
    return _set_archived(merchant_id, item_id, archived=True)


def restore(merchant_id: str, item_id: str) -> ResponseReturnValue:
    """Put an item back on sale."""
    return _set_archived(merchant_id, item_id, archived=False)


def preview(merchant_id: str, item_id: str) -> ResponseReturnValue:
    """Show the widget as it looks in a page; nothing in it can be pressed, nothing is counted."""
    require_member(merchant_id, SELLERS)
    item, site = item_of(session(), merchant_id, item_id)
    look = look_of(session(), site.id)
    words = _chosen("words", LANGUAGES, language())
    return page(
        "dashboard/preview.html",
        headers={"Content-Security-Policy": page_policy(scripts=True, framed=True)},
        item=item,
        look=replace(look, theme=_chosen("theme", THEMES, look.theme)),
        preview_query="",
        language=words,
        dir=direction(words),
    )


def preview_css(merchant_id: str, item_id: str) -> Response:
    """Return the look of the item's site as a style sheet, for the preview."""
    require_member(merchant_id, SELLERS)
    _item, site = item_of(session(), merchant_id, item_id)
    return Response(look_of(session(), site.id).css(), content_type="text/css; charset=utf-8")


def _change(member: Member, item_id: str, terms: Terms) -> bool:
    return in_transaction(session(), lambda: change_item(deps(), session(), member, item_id, terms))


def _set_archived(merchant_id: str, item_id: str, *, archived: bool) -> ResponseReturnValue:
    member = require_member(merchant_id, SELLERS)
    item_of(session(), merchant_id, item_id)
    in_transaction(
        session(), lambda: set_archived(deps(), session(), member, item_id, archived=archived)
    )
    return _back(item_id, member, "archived" if archived else "restored")


def _back(item_id: str, member: Member, done: str) -> ResponseReturnValue:
    return redirect(f"/dashboard/{member.merchant_id}/items/{item_id}?done={done}", 303)


def _show(
    member: Member,
    item: Item,
    site: Site,
    error: BitcacheError | None = None,
    typed: Mapping[str, str] | None = None,
) -> ResponseReturnValue:
    days = period_days()
    since = deps().clock() - days * SECONDS_PER_DAY
    look, public_url = look_of(session(), site.id), deps().settings.public_url
    answer = page(
        "dashboard/item.html",
        status=status_of(type(error)) if error else 200,
        here="items",
        item=item,
        site=site,
        base=f"/dashboard/{member.merchant_id}/items",
        terms=_typed(item, typed),
        currencies=CURRENCIES,
        days=days,
        periods=PERIODS,
        sums=funnels(session(), [item.id], since)[item.id],
        sales=sales_of_item(session(), member.merchant_id, item.id, SALES_SHOWN),
        authors=list_splits(session(), [item.id])[item.id],
        file=_file(item),
        content=Markup(nh3.clean(item.content_html or "")),  # noqa: S704 - cleaned
        snippet=f"{script_tag(public_url)}\n\n{paywall_tag(public_url, item, look.theme)}",
        css=look.css(),
        themes=THEMES,
        theme=_chosen("theme", THEMES, look.theme),
        words=_chosen("words", LANGUAGES, language()),
        pay_url=f"{public_url}/pay/{item.id}",
        failed=fault_words(error) if error else "",
        notice=done_notice(_NOTICES),
    )
    # The merchant's pictures are on their site; the preview is a page of ours.
    policy = page_policy(origins_of(session(), site.id), scripts=True, frames=True)
    answer.headers["Content-Security-Policy"] = policy
    return answer


def _typed(item: Item, typed: Mapping[str, str] | None) -> Mapping[str, object]:
    """Return what stands in the fields: what was typed, or what is kept."""
    kept = vars(terms_of(item))
    hours = kept["access_hours"]
    values = {**kept, "hours": "" if hours is None else hours, "url": kept["url"] or ""}
    return {**values, **typed} if typed else values


def _file(item: Item) -> StoredFile | None:
    """Return what is known of the file; None for an article, and for one that is gone."""
    try:
        return file_of(deps(), item)
    except BitcacheError:
        return None


def _chosen(name: str, known: Mapping[str, str], usual: str) -> str:
    value = request.args.get(name, usual)
    return value if value in known else usual
