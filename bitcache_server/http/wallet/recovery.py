"""The recovery code: making one, and signing in or confirming with it. No script needed."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import InvalidRequest, RecoveryCodeInvalid
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import RECOVERIES, check_limit
from bitcache_server.http.user_agent import device_label
from bitcache_server.http.wallet.cookie import holder, require_holder, sign_in
from bitcache_server.http.wallet.look import page
from bitcache_server.http.wallet.session import SECURITY, show_confirm, show_sign_in
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, use_code
from bitcache_server.services.recovery import (
    confirm_with_code,
    keep_code,
    new_recovery_code,
    sign_in_with_code,
)
from bitcache_server.services.wallets import WALLETS, Holder, leave_wallet

#: A code is shown in the answer to the form; sent again, the form must not make another
#: code, which would replace the one that the reader has just written down.
FORM = Purpose("recovery_form", 3_600)


def add_routes(pages: Blueprint) -> None:
    """Add the forms."""
    pages.add_url_rule("/sign-in", "sign_in_with_code", sign_in_form, methods=["POST"])
    pages.add_url_rule("/confirm", "confirm_with_code", confirm_form, methods=["POST"])
    pages.add_url_rule("/recovery", "new_recovery_code", new_code_form, methods=["POST"])
    pages.add_url_rule("/recovery/kept", "recovery_code_kept", kept_form, methods=["POST"])


def sign_in_form() -> Response:
    """Open the wallet that a recovery code belongs to."""
    same_origin()
    check_limit(RECOVERIES)
    before = holder()
    try:
        cookie = in_transaction(session(), lambda: _sign_in(before))
    except RecoveryCodeInvalid as error:
        return show_sign_in(error.detail, 403)
    except InvalidRequest as error:
        return show_sign_in(error.detail, 422)
    response = make_response(redirect(next_path(), 303))
    sign_in(response, cookie)
    return response


def confirm_form() -> Response:
    """Show that the reader has the code of this very wallet."""
    same_origin()
    known = require_holder()
    # By wallet: strangers at the reader's address must not keep them from their money.
    check_limit(RECOVERIES, known.wallet_id)
    text = request.form.get("code", "")
    try:
        cookie = in_transaction(
            session(), lambda: confirm_with_code(deps(), session(), known, text)
        )
    except RecoveryCodeInvalid as error:
        return show_confirm(known, error.detail, 403)
    response = make_response(redirect(next_path(SECURITY), 303))
    sign_in(response, cookie)
    return response


def new_code_form() -> Response:
    """Make a recovery code and show it, this one time."""
    same_origin()
    known = require_holder()
    code = in_transaction(session(), lambda: _new_code(known))
    if code is None:
        return make_response(redirect(f"{SECURITY}?done=code", 303))
    return page("wallet_recovery_code.html", code=code)


def kept_form() -> Response:
    """Go on from the page with the code, with a new cookie: that answer may be lost."""
    same_origin()
    known = require_holder()
    cookie = in_transaction(session(), lambda: keep_code(deps(), session(), known))
    response = make_response(redirect(SECURITY, 303))
    if cookie is not None:
        sign_in(response, cookie)
    return response


def _sign_in(before: Holder | None) -> str:
    cookie = sign_in_with_code(
        deps(), session(), WALLETS, request.form.get("code", ""), device_label()
    )
    leave_wallet(deps(), session(), before, "understood" in request.form)
    return cookie


def _new_code(known: Holder) -> str | None:
    form = request.form.get("form", "")
    if not use_code(deps(), session(), FORM, form, known.wallet_id):
        return None
    return new_recovery_code(deps(), session(), known)
