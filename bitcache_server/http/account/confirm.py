"""/account/confirm: once more who they are, before something that matters."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import SignInFailed
from bitcache_server.http.account.access import keep_signed_in, require_account
from bitcache_server.http.account.door import HOME, ways
from bitcache_server.http.account.session import WRONG, counted_for
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.language import gettext
from bitcache_server.services.account_sessions import SignedIn
from bitcache_server.services.accounts import get_account
from bitcache_server.services.passkeys import passkeys_of
from bitcache_server.services.sign_in import confirm_with_password
from bitcache_server.services.wallet_keys import keys_of


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    pages.add_url_rule("/confirm", "confirm", show)
    pages.add_url_rule("/confirm", "confirm_form", with_password, methods=["POST"])


def show() -> Response:
    """Ask for what opens the account."""
    return _page(require_account())


def with_password() -> Response:
    """Take the password, and the one-time password where the account has them."""
    known = require_account()
    password, code = request.form.get("password", ""), request.form.get("code", "")
    try:
        # Apart from sign-ins: strangers who try those keep nobody from their money.
        with counted_for(f"confirm {known.account_id}"):
            cookie = confirm_with_password(deps(), session(), known, password, code)
    except SignInFailed:
        return _page(known, gettext(WRONG), 403)
    response = make_response(redirect(next_path(HOME), 303))
    keep_signed_in(response, cookie)
    return response


def _page(known: SignedIn, error: str = "", status: int = 200) -> Response:
    account = get_account(session(), known.account_id)
    return page(
        "account/confirm.html",
        scripts=True,
        status=status,
        failed=error,
        next=next_path(HOME),
        has_password=account.password_hash is not None,
        has_totp=account.totp_confirmed_at is not None,
        has_passkey=bool(passkeys_of(session(), account.id)),
        has_key=bool(keys_of(session(), account.id)),
        login=account.login,
        ways=ways(),
    )
