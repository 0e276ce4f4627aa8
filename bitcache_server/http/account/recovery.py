"""The recovery code of an account, and what to do without a password."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import RecoveryCodeInvalid
from bitcache_server.http.account.access import keep_signed_in, require_account, signed_in
from bitcache_server.http.account.door import HOME, SECURITY, ways
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.language import said
from bitcache_server.http.limits import RECOVERIES, check_limit
from bitcache_server.http.user_agent import device_label
from bitcache_server.services.account_sessions import ACCOUNTS, SignedIn, leave_account
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, use_code
from bitcache_server.services.recovery import keep_code, new_recovery_code, sign_in_with_code

#: As on the wallet's page: a form that is sent again makes no other code.
FORM = Purpose("account_recovery_form", 3_600)


def add_routes(pages: Blueprint) -> None:
    """Add the pages and forms."""
    pages.add_url_rule("/recover", "recover", show)
    pages.add_url_rule("/recover", "recover_form", with_code, methods=["POST"])
    pages.add_url_rule("/recovery", "new_recovery_code", new_code, methods=["POST"])
    pages.add_url_rule("/recovery/kept", "recovery_code_kept", kept, methods=["POST"])


def show() -> Response:
    """Show what to do without a password: the recovery code, or a link by mail."""
    return _page()


def with_code() -> Response:
    """Sign in with the recovery code; what was lost can be replaced on the page that follows."""
    check_limit(RECOVERIES)
    before, text = signed_in(), request.form.get("code", "")
    try:
        cookie = in_transaction(session(), lambda: _sign_in(text, before))
    except RecoveryCodeInvalid as error:
        return _page(said(error), 403)
    response = make_response(redirect(next_path(SECURITY), 303))
    keep_signed_in(response, cookie)
    return response


def new_code() -> Response:
    """Make a recovery code and show it, this one time."""
    known = require_account()
    code = in_transaction(session(), lambda: _new_code(known))
    if code is None:
        return make_response(redirect(f"{SECURITY}?done=code", 303))
    return page("account/recovery_code.html", here="security", code=code)


def kept() -> Response:
    """Go on from the page with the code, with a new cookie: that answer may be lost."""
    known = require_account()
    cookie = in_transaction(session(), lambda: keep_code(deps(), session(), known))
    response = make_response(redirect(SECURITY, 303))
    if cookie is not None:
        keep_signed_in(response, cookie)
    return response


def _sign_in(text: str, before: SignedIn | None) -> str:
    cookie = sign_in_with_code(deps(), session(), ACCOUNTS, text, device_label())
    leave_account(deps(), session(), before)
    return cookie


def _new_code(known: SignedIn) -> str | None:
    if not use_code(deps(), session(), FORM, request.form.get("form", ""), known.account_id):
        return None
    return new_recovery_code(deps(), session(), known)


def _page(error: str = "", status: int = 200) -> Response:
    return page(
        "account/recover.html", status=status, failed=error, next=next_path(HOME), ways=ways()
    )
