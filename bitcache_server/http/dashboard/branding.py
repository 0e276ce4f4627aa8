"""/dashboard/<merchant>/branding: name, logo, colours, and what receipts say besides."""

from collections.abc import Callable

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, said
from bitcache_server.i18n import mark as _
from bitcache_server.services.branding import (
    MAX_LEGAL_CHARS,
    BrandOrder,
    brand_of,
    change_brand,
    remove_logo,
    set_logo,
)
from bitcache_server.services.logos import MAX_BYTES, redraw
from bitcache_server.services.members import OWNERS, Member
from bitcache_server.services.once import in_transaction

NOTICES = {
    "changed": _("It is changed. Your checkout looks like this now."),
    "logo": _("This is your logo now."),
    "no_logo": _("The logo is gone."),
}
FIELDS = ("name", "accent", "accent_dark", "support", "legal_text")


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    base = "/<merchant_id>/branding"
    pages.add_url_rule(base, "branding", show)
    pages.add_url_rule(base, "change_branding", change, methods=["POST"])
    pages.add_url_rule(f"{base}/logo", "set_logo", new_logo, methods=["POST"])
    pages.add_url_rule(f"{base}/logo/remove", "remove_logo", no_logo, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show how the merchant looks."""
    return _show(require_member(merchant_id, OWNERS))


def _show(member: Member, error: InvalidRequest | None = None) -> ResponseReturnValue:
    brand = brand_of(session(), member.merchant_id)
    kept = {name: getattr(brand, name) for name in FIELDS}
    return page(
        "dashboard/branding.html",
        status=status_of(type(error)) if error else 200,
        here="branding",
        look=brand,
        typed={**kept, **request.form} if error else kept,
        max_legal_chars=MAX_LEGAL_CHARS,
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
    )


def change(merchant_id: str) -> ResponseReturnValue:
    """Keep name, colours and texts."""
    member = require_member(merchant_id, OWNERS)
    order = BrandOrder(**{name: request.form.get(name, "") for name in FIELDS})

    def keep() -> None:
        change_brand(deps(), session(), merchant_id, member.account_id, order)

    return _do(member, keep, "changed")


def new_logo(merchant_id: str) -> ResponseReturnValue:
    """Take an uploaded picture as the logo."""
    member = require_member(merchant_id, OWNERS)
    file = request.files.get("logo")
    # One byte more than is taken: enough to see that it is too large.
    data = file.stream.read(MAX_BYTES + 1) if file else b""
    if not data:
        return _show(member, InvalidRequest(gettext("Choose a picture first.")))
    try:
        png = redraw(data)
    except InvalidRequest as error:
        return _show(member, error)

    def keep() -> None:
        set_logo(deps(), session(), merchant_id, member.account_id, png)

    return _do(member, keep, "logo")


def no_logo(merchant_id: str) -> ResponseReturnValue:
    """Show no logo any more."""
    member = require_member(merchant_id, OWNERS)
    return _do(
        member,
        lambda: remove_logo(deps(), session(), merchant_id, member.account_id),
        "no_logo",
    )


def _do(member: Member, deed: Callable[[], None], done: str) -> ResponseReturnValue:
    try:
        in_transaction(session(), deed)
    except InvalidRequest as error:
        return _show(member, error)
    return redirect(f"/dashboard/{member.merchant_id}/branding?done={done}", 303)
