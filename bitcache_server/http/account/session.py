"""/account/sign-in and /account/sign-out: who this browser is."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Response, current_app, make_response, redirect, request

from bitcache_server.domain.errors import SignInFailed
from bitcache_server.http.account.access import forget, keep_signed_in, require_account, signed_in
from bitcache_server.http.account.door import HOME, SECURITY, ways
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import SIGN_IN, page
from bitcache_server.http.language import gettext
from bitcache_server.http.limits import (
    SIGN_IN_FAILURES,
    SIGN_INS,
    check_limit,
    hit_all,
    require_room,
)
from bitcache_server.http.user_agent import device_label
from bitcache_server.i18n import mark as _
from bitcache_server.services.account_sessions import leave_account
from bitcache_server.services.accounts import compared_name
from bitcache_server.services.browsers import revoke_other_sessions, sign_out_device
from bitcache_server.services.once import in_transaction
from bitcache_server.services.sign_in import (
    login_of_proof,
    sign_in_with_password,
    sign_in_with_totp,
)
from bitcache_server.tokens.secrets import hash_secret

WRONG = _("The name, the password or the code is wrong.")
NOTICES = {
    "password": _("The password was changed. Sign in with it."),
    "asked": _(
        "If the name is known here and its e-mail address is confirmed, a link is on its way. "
        "It works for 30 minutes."
    ),
    "closed": _("The account is closed."),
    "email": _("The e-mail address is confirmed."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the pages and forms."""
    pages.add_url_rule("/sign-in", "sign_in", show)
    pages.add_url_rule("/sign-in", "sign_in_form", with_password, methods=["POST"])
    pages.add_url_rule("/sign-in/code", "sign_in_code", with_code, methods=["POST"])
    pages.add_url_rule("/sign-out", "sign_out", sign_out, methods=["POST"])
    pages.add_url_rule("/sessions/end", "end_session", end_one, methods=["POST"])
    pages.add_url_rule("/sessions/end-others", "end_others", end_others, methods=["POST"])


def show() -> Response:
    """Show the ways in: a password, a passkey, a Lightning wallet."""
    return _page()


def with_password() -> Response:
    """Sign in, or ask for the one-time password."""
    check_limit(SIGN_INS)
    login, password = request.form.get("login", ""), request.form.get("password", "")
    before = signed_in()
    try:
        with counted_for(login):
            entrance = sign_in_with_password(
                deps(), session(), login, password, device_label(), before
            )
    except SignInFailed:
        return _page(gettext(WRONG), 403)
    if entrance.proof:
        return _code_page(entrance.proof)
    return _entered(entrance.cookie)


def with_code() -> Response:
    """Sign in with the one-time password, after the password."""
    check_limit(SIGN_INS)
    proof, code = request.form.get("proof", ""), request.form.get("code", "")
    before = signed_in()
    try:
        with counted_for(login_of_proof(session(), proof)):
            cookie = sign_in_with_totp(deps(), session(), proof, code, device_label(), before)
    except SignInFailed:
        return _code_page(proof, gettext(WRONG), 403)
    return _entered(cookie)


def sign_out() -> Response:
    """Sign this browser out."""
    known = signed_in()
    in_transaction(session(), lambda: leave_account(deps(), session(), known))
    response = make_response(redirect(SIGN_IN, 303))
    forget(response)
    return response


def end_one() -> Response:
    """Sign another browser of the account out; a copy of its cookie is dead as well."""
    known, other_id = require_account(), request.form.get("device", "")
    in_transaction(session(), lambda: sign_out_device(deps(), session(), known, other_id))
    return make_response(redirect(f"{SECURITY}?done=device", 303))


def end_others() -> Response:
    """Sign all other browsers of the account out."""
    known = require_account()
    in_transaction(session(), lambda: revoke_other_sessions(deps(), session(), known))
    return make_response(redirect(f"{SECURITY}?done=devices", 303))


@contextmanager
def counted_for(who: str) -> Iterator[None]:
    """Count a wrong password or code for a name, known or not, from wherever it comes.

    Raises RateLimited where there were too many. Passkeys and Lightning wallets are not
    counted: nobody can lock their owner out.
    """
    # As it is compared: another case or width is no other account.
    name = hash_secret(compared_name(who))
    require_room(SIGN_IN_FAILURES, name)
    try:
        yield
    except SignInFailed:
        hit_all(current_app, SIGN_IN_FAILURES, name)
        raise


def _entered(cookie: str) -> Response:
    response = make_response(redirect(next_path(HOME), 303))
    keep_signed_in(response, cookie)
    return response


def _page(error: str = "", status: int = 200) -> Response:
    notice = NOTICES.get(request.args.get("done", ""))
    return page(
        "account/sign_in.html",
        scripts=True,
        status=status,
        failed=error,
        notice=gettext(notice) if notice else "",
        next=next_path(HOME),
        login=request.form.get("login", "")[:300],
        ways=ways(),
    )


def _code_page(proof: str, error: str = "", status: int = 200) -> Response:
    return page("account/code.html", status=status, failed=error, proof=proof, next=next_path(HOME))
