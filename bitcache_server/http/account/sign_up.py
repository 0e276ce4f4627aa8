"""/account/sign-up: open an account, with a password, a passkey or a Lightning wallet."""

from collections.abc import Mapping

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import (
    BitcacheError,
    InvalidRequest,
    InvitationInvalid,
    LoginTaken,
    SignUpClosed,
)
from bitcache_server.http.account.access import keep_signed_in, signed_in
from bitcache_server.http.account.asked import asked_in, form_of
from bitcache_server.http.account.door import HOME, ways
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.http.limits import SIGN_UPS, check_limit
from bitcache_server.http.user_agent import device_label
from bitcache_server.services.account_sessions import (
    SignedIn,
    leave_account,
    open_account_session,
)
from bitcache_server.services.accounts import SignUp, check_sign_up, sign_up
from bitcache_server.services.invitations import (
    PATH as INVITATION,
)
from bitcache_server.services.invitations import (
    InvitationView,
    look_at_invitation,
)
from bitcache_server.services.mail_links import greet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.passwords import new_password_hash


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    pages.add_url_rule("/sign-up", "sign_up", show)
    pages.add_url_rule("/sign-up", "sign_up_form", open_account, methods=["POST"])


def show() -> Response:
    """Show the form; with an invitation, to what it leads."""
    return _page(request.args)


def open_account() -> Response:
    """Open an account with a password, and sign this browser in."""
    check_limit(SIGN_UPS)
    before, password = signed_in(), request.form.get("password", "")
    try:
        asked = check_sign_up(deps(), session(), asked_in(request.form))
        # Argon2 takes its time: outside of the transaction.
        made = new_password_hash(password, asked.login, asked.name, asked.merchant_name)
        cookie = in_transaction(session(), lambda: _open(asked, made, before))
    except (InvalidRequest, InvitationInvalid, LoginTaken, SignUpClosed) as error:
        return _page(request.form, error)
    response = make_response(redirect(after_sign_up(asked.invitation), 303))
    keep_signed_in(response, cookie)
    return response


def after_sign_up(invitation: str) -> str:
    """Return the page that follows: the invitation's own is over once it was used."""
    path = next_path(HOME)
    return HOME if invitation and path.startswith(INVITATION) else path


def _open(asked: SignUp, password_hash: str, before: SignedIn | None) -> str:
    account_id = sign_up(deps(), session(), asked, "password", password_hash)
    greet(deps(), session(), account_id)
    leave_account(deps(), session(), before)
    return open_account_session(deps(), session(), account_id, device_label())


def _page(values: Mapping[str, str], error: BitcacheError | None = None) -> Response:
    form = form_of(values)
    invitation = _invitation(form["invitation"])
    if invitation is None:
        form["invitation"] = ""
    return page(
        "account/sign_up.html",
        scripts=True,
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        form=form,
        invitation=invitation,
        next=after_sign_up(form["invitation"]),
        ways=ways(),
    )


def _invitation(code: str) -> InvitationView | None:
    if not code:
        return None
    try:
        return look_at_invitation(deps(), session(), code)
    except InvitationInvalid:
        return None
