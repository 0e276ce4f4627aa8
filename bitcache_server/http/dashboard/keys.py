"""/dashboard/<merchant>/keys: API keys of the merchant's sites, with what each may do."""

from dataclasses import dataclass

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest, UnknownSite
from bitcache_server.http.account.access import is_confirmed, require_confirmed, require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, said
from bitcache_server.i18n import mark as _
from bitcache_server.models.access import ApiKey
from bitcache_server.models.accounts import Account
from bitcache_server.services.api_keys import (
    SCOPES,
    KeyOrder,
    NewKey,
    add_key,
    is_open,
    list_keys,
    revoke_key,
)
from bitcache_server.services.catalog import list_sites
from bitcache_server.services.members import OWNERS, Member
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code

#: The secret is shown in the answer to the form; sent again, the form makes no other key.
FORM = Purpose("key_form", 43_200)
NOTICES = {
    "revoked": _("The key is revoked. It opens nothing any more."),
    "sent": _("That form was sent before. Its key is in the list; the secret is not shown again."),
}
#: What a key may do, in words; the names are those of the API.
SCOPE_WORDS: dict[str, str] = {
    "items:read": _("See items"),
    "items:write": _("Price and change items"),
    "invoices:read": _("See invoices"),
    "refunds:write": _("Refund"),
    "balance:read": _("See the balance and the statement"),
    "payouts:read": _("See payouts"),
    "payouts:write": _("Ask for payouts to your own address"),
    "orders:read": _("See orders"),
    "orders:write": _("Create and cancel orders"),
    "webhooks:read": _("See webhooks and what was delivered"),
    "webhooks:write": _("Change webhooks and send again"),
    "sales:read": _("See sales"),
}
#: How long a key works; empty is until it is revoked.
LIFETIMES: dict[str, str] = {
    "30": _("30 days"),
    "90": _("90 days"),
    "365": _("a year"),
    "": _("until it is revoked"),
}
DEFAULT_LIFETIME = "365"


@dataclass(frozen=True)
class Line:
    """A key as the list shows it."""

    key: ApiKey
    site: str
    made_by: str
    is_open: bool


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    base = "/<merchant_id>/keys"
    pages.add_url_rule(base, "keys", show)
    pages.add_url_rule(base, "make_key", make, methods=["POST"])
    pages.add_url_rule(f"{base}/<key_id>/revoke", "revoke_key", revoke, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show the keys."""
    return _show(require_member(merchant_id, OWNERS))


def _show(
    member: Member, error: InvalidRequest | UnknownSite | None = None, made: NewKey | None = None
) -> ResponseReturnValue:
    return page(
        "dashboard/keys.html",
        status=status_of(type(error)) if error else 200,
        scripts=made is not None,
        here="keys",
        lines=_lines(member.merchant_id),
        sites=list_sites(session(), member.merchant_id),
        confirmed=is_confirmed(),
        scopes=SCOPES,
        scope_words=SCOPE_WORDS,
        lifetimes=LIFETIMES,
        lifetime=request.form.get("days", DEFAULT_LIFETIME),
        chosen=request.form.getlist("scope") if error else [],
        typed=request.form if error else {},
        form_code=new_code(deps(), FORM, member.account_id),
        made=made,
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
    )


def _lines(merchant_id: str) -> list[Line]:
    now = deps().clock()
    sites = {site.id: site.name for site in list_sites(session(), merchant_id)}
    keys = list_keys(session(), merchant_id)
    accounts = {key.created_by: session().get(Account, key.created_by) for key in keys}
    names = {id_: account.name for id_, account in accounts.items() if account is not None}
    lines = [
        Line(key, sites.get(key.site_id, ""), names.get(key.created_by, ""), is_open(key, now))
        for key in keys
    ]
    # Those that have ended stand below, for whoever looks for what opened something once.
    return sorted(lines, key=lambda line: not line.is_open)


def make(merchant_id: str) -> ResponseReturnValue:
    """Make a key and show its secret, this one time."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    try:
        made = in_transaction(session(), lambda: _make(member))
    except (InvalidRequest, UnknownSite) as error:
        return _show(member, error)
    if made is None:
        return redirect(f"/dashboard/{merchant_id}/keys?done=sent", 303)
    return _show(member, made=made)


def _make(member: Member) -> NewKey | None:
    form = request.form
    if not use_code(deps(), session(), FORM, form.get("form", ""), member.account_id):
        return None
    days = form.get("days", DEFAULT_LIFETIME)
    if days not in LIFETIMES:
        raise InvalidRequest(gettext("Choose how long the key works."))
    order = KeyOrder(
        site_id=form.get("site", ""),
        name=form.get("name", ""),
        scopes=form.getlist("scope"),
        days=int(days) if days else None,
    )
    return add_key(deps(), session(), member.merchant_id, member.account_id, order)


def revoke(merchant_id: str, key_id: str) -> ResponseReturnValue:
    """End a key."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    in_transaction(
        session(), lambda: revoke_key(deps(), session(), merchant_id, member.account_id, key_id)
    )
    return redirect(f"/dashboard/{merchant_id}/keys?done=revoked", 303)
