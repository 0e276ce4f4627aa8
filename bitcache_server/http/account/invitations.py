"""/account/invitations/<code>: who invites to what; accept it, or sign in or up first."""

from urllib.parse import quote, urlencode

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvitationInvalid
from bitcache_server.http.account.access import require_account, signed_in
from bitcache_server.http.back import with_next
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import SIGN_IN, page
from bitcache_server.http.dashboard.words import MEANINGS, ROLES
from bitcache_server.http.errors import status_of
from bitcache_server.services.invitations import (
    PATH,
    InvitationView,
    look_at_invitation,
    use_invitation,
)
from bitcache_server.services.members import merchants_of
from bitcache_server.services.once import in_transaction

SIGN_UP = "/account/sign-up"


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    pages.add_url_rule("/invitations/<code>", "invitation", show)
    pages.add_url_rule("/invitations/<code>", "accept_invitation", accept, methods=["POST"])


def show(code: str) -> ResponseReturnValue:
    """Show what a link invites to."""
    known = signed_in()
    try:
        view = look_at_invitation(deps(), session(), code)
    except InvitationInvalid:
        return _closed()
    theirs = merchants_of(session(), known.account_id) if known else []
    path = f"{PATH}/{quote(code)}"
    return page(
        "account/invitation.html",
        invitation=view,
        roles=ROLES,
        meanings=MEANINGS,
        is_member=view.merchant_id in {merchant.id for merchant in theirs},
        sign_in=with_next(SIGN_IN, path),
        sign_up=f"{SIGN_UP}?{urlencode({'invitation': code, 'next': path})}"
        if deps().settings.sign_up != "closed"
        else None,
    )


def accept(code: str) -> ResponseReturnValue:
    """Make the account of this browser a member."""
    account_id = require_account().account_id

    def use() -> InvitationView:
        view = look_at_invitation(deps(), session(), code)
        # One to sign up with is for somebody who has no account yet.
        return use_invitation(deps(), session(), code, account_id) if view.merchant_id else view

    try:
        view = in_transaction(session(), use)
    except InvitationInvalid:
        return _closed()
    return redirect(f"/dashboard/{view.merchant_id}" if view.merchant_id else "/dashboard", 303)


def _closed() -> ResponseReturnValue:
    return page("account/invitation.html", status=status_of(InvitationInvalid), invitation=None)
