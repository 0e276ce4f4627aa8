"""/dashboard/<merchant>/sites: where items are sold: origins, secret, connection, look."""

from collections.abc import Callable

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import BitcacheError, InvalidOrigin, InvalidRequest
from bitcache_server.http.account.access import is_confirmed, require_confirmed, require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.site_look import look_context, look_of_form
from bitcache_server.http.errors import status_of
from bitcache_server.http.headers import page_policy
from bitcache_server.http.language import said
from bitcache_server.i18n import mark as _
from bitcache_server.services.catalog import list_sites
from bitcache_server.services.members import OWNERS, Member
from bitcache_server.services.merchants import NewSite, secrets_ending, site_of_merchant
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.site_changes import (
    OVERLAPS_S,
    allow_origin,
    forbid_origin,
    open_site,
    rename_site,
    rotate_secret,
    site_lines,
)
from bitcache_server.services.site_looks import change_look

#: A secret is shown in the answer to the form; sent again, the form makes no other one.
FORM = Purpose("site_form", 43_200)
NOTICES = {
    "added": _("The origin is allowed."),
    "removed": _("The origin is not allowed any more."),
    "renamed": _("The site has its new name."),
    "look": _("The look is kept. Copy the snippet again to the site's pages."),
    "sent": _("That form was sent before. A secret is shown only once; rotate it for a new one."),
}
_REFUSED = (InvalidRequest, InvalidOrigin)
#: How long the old secret works, by seconds.
OVERLAPS: dict[int, str] = dict(
    zip(
        OVERLAPS_S,
        (_("not at all"), _("one more hour"), _("one more day"), _("seven more days")),
        strict=True,
    )
)


def add_routes(pages: Blueprint) -> None:
    """Add the pages and their forms."""
    base = "/<merchant_id>/sites"
    one = f"{base}/<site_id>"
    pages.add_url_rule(base, "sites", show_all)
    pages.add_url_rule(base, "add_site", add, methods=["POST"])
    pages.add_url_rule(one, "site", show)
    pages.add_url_rule(f"{one}/name", "rename_site", rename, methods=["POST"])
    pages.add_url_rule(f"{one}/origins", "add_origin", add_origin, methods=["POST"])
    pages.add_url_rule(f"{one}/origins/remove", "remove_origin", drop_origin, methods=["POST"])
    pages.add_url_rule(f"{one}/look", "change_look", change_widget, methods=["POST"])
    pages.add_url_rule(f"{one}/secret", "rotate_secret", rotate, methods=["POST"])


def show_all(merchant_id: str) -> ResponseReturnValue:
    """List the sites."""
    return _show_all(require_member(merchant_id, OWNERS))


def _show_all(member: Member, error: BitcacheError | None = None) -> ResponseReturnValue:
    return page(
        "dashboard/sites.html",
        status=status_of(type(error)) if error else 200,
        here="sites",
        lines=site_lines(session(), list_sites(session(), member.merchant_id)),
        confirmed=is_confirmed(),
        typed=request.form if error else {},
        form_code=new_code(deps(), FORM, member.account_id),
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
    )


def add(merchant_id: str) -> ResponseReturnValue:
    """Add a site and show its secret, this one time."""
    member = _may_open(merchant_id)

    def make() -> NewSite | None:
        if not _first(member.account_id):
            return None
        origins = request.form.get("origin", "").split()
        return open_site(deps(), session(), member, request.form.get("name", ""), origins)

    try:
        made = in_transaction(session(), make)
    except _REFUSED as error:
        return _show_all(member, error)
    if made is None:
        return redirect(f"/dashboard/{merchant_id}/sites?done=sent", 303)
    return _show(member, made.site.id, made=made)


def show(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Show one site in full."""
    return _show(require_member(merchant_id, OWNERS), site_id)


def _show(
    member: Member, site_id: str, error: BitcacheError | None = None, made: NewSite | None = None
) -> ResponseReturnValue:
    """Return the page of a site, with what could not be done, or with its new secret."""
    site = site_of_merchant(session(), member.merchant_id, site_id)
    [line] = site_lines(session(), [site])
    return page(
        "dashboard/site.html",
        status=status_of(type(error)) if error else 200,
        headers={"Content-Security-Policy": page_policy(scripts=True, frames=True)},
        here="sites",
        line=line,
        ending=secrets_ending(session(), site.id, deps().clock()),
        overlaps=OVERLAPS,
        confirmed=is_confirmed(),
        typed=request.form if error else {},
        form_code=new_code(deps(), FORM, f"{member.account_id} {site.id}"),
        made=made,
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
        **look_context(site),
    )


def rename(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Give the site another name."""
    member = require_member(merchant_id, OWNERS)
    name = request.form.get("name", "")
    return _do(
        member, site_id, lambda: rename_site(deps(), session(), member, site_id, name), "renamed"
    )


def add_origin(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Allow one more origin."""
    member = _may_open(merchant_id)
    origin = request.form.get("origin", "")
    return _do(
        member, site_id, lambda: allow_origin(deps(), session(), member, site_id, origin), "added"
    )


def drop_origin(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Allow an origin no more."""
    member = _may_open(merchant_id)
    origin = request.form.get("origin", "")
    return _do(
        member,
        site_id,
        lambda: forbid_origin(deps(), session(), member, site_id, origin),
        "removed",
    )


def change_widget(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Keep how the widget looks on the site."""
    member = require_member(merchant_id, OWNERS)

    def keep() -> None:
        site = site_of_merchant(session(), merchant_id, site_id)
        change_look(deps(), session(), merchant_id, member.account_id, site.id, look_of_form())

    return _do(member, site_id, keep, "look")


def rotate(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Make a new secret and show it, this one time."""
    member = _may_open(merchant_id)
    overlap = request.form.get("overlap", "")
    overlap_s = int(overlap) if overlap in {str(seconds) for seconds in OVERLAPS_S} else -1

    def make() -> NewSite | None:
        site_of_merchant(session(), merchant_id, site_id)
        if not _first(f"{member.account_id} {site_id}"):
            return None
        return rotate_secret(deps(), session(), member, site_id, overlap_s)

    try:
        made = in_transaction(session(), make)
    except InvalidRequest as error:
        return _show(member, site_id, error)
    if made is None:
        return redirect(f"/dashboard/{merchant_id}/sites/{site_id}?done=sent", 303)
    return _show(member, site_id, made=made)


def _do(member: Member, site_id: str, deed: Callable[[], None], done: str) -> ResponseReturnValue:
    """Run a change in a transaction of its own and lead back to the site's page."""
    try:
        in_transaction(session(), deed)
    except _REFUSED as error:
        return _show(member, site_id, error)
    return redirect(f"/dashboard/{member.merchant_id}/sites/{site_id}?done={done}", 303)


def _may_open(merchant_id: str) -> Member:
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    return member


def _first(subject: str) -> bool:
    """Say whether this form is sent for the first time. Runs in the caller's transaction."""
    return use_code(deps(), session(), FORM, request.form.get("form", ""), subject)
