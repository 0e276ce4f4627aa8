"""/wallet/lightning: sign in, confirm or add a key with a Lightning wallet (LUD-04).

Works without scripts: the page with the code loads itself again until a wallet has signed,
and then asks its reader to go on.
"""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import InvalidRequest, LoginInvalid
from bitcache_server.http.context import deps, session
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import RECOVERIES, check_limit
from bitcache_server.http.qr import qr_svg
from bitcache_server.http.wallet.back import HOME, next_path, with_next
from bitcache_server.http.wallet.cookie import cookie_name, holder, require_holder, sign_in
from bitcache_server.http.wallet.look import page
from bitcache_server.http.wallet.session import SECURITY
from bitcache_server.http.wallet.user_agent import device_label
from bitcache_server.services.once import in_transaction
from bitcache_server.services.wallet_keys import (
    LIFETIME_S,
    LoginPurpose,
    LoginView,
    begin_login,
    finish_adding,
    finish_confirmation,
    finish_sign_in,
    login_view,
    remove_key,
)
from bitcache_server.services.wallets import Holder, is_secured, leave_wallet

PATH = "/wallet/lightning"


def add_routes(pages: Blueprint) -> None:
    """Add the pages and forms."""
    pages.add_url_rule("/lightning", "lightning_begin", begin, methods=["POST"])
    pages.add_url_rule("/lightning/remove", "lightning_remove", remove, methods=["POST"])
    pages.add_url_rule("/lightning/<k1>", "lightning", show)
    pages.add_url_rule("/lightning/<k1>", "lightning_finish", finish, methods=["POST"])
    pages.add_url_rule("/lightning/<k1>/qr.svg", "lightning_qr", qr)


def begin() -> Response:
    """Make a code, and bind it to this browser."""
    same_origin()
    purpose = _purpose(request.form.get("purpose", ""))
    known = None if purpose is LoginPurpose.SIGN_IN else require_holder()
    # By wallet where there is one: strangers at the same address must not keep it from its money.
    check_limit(RECOVERIES, known.wallet_id if known else None)
    new = in_transaction(session(), lambda: begin_login(deps(), session(), purpose, known))
    default = HOME if purpose is LoginPurpose.SIGN_IN else SECURITY
    response = make_response(redirect(with_next(f"{PATH}/{new.k1}", next_path(default)), 303))
    _set_browser_secret(response, new.browser_secret)
    return response


def show(k1: str) -> Response:
    """Show the code until a wallet has signed it, then the button that goes on."""
    return _show(_view(k1), "", 200)


def qr(k1: str) -> Response:
    """Draw the code."""
    response = make_response(qr_svg(_view(k1).lnurl))
    response.content_type = "image/svg+xml"
    return response


def finish(k1: str) -> Response:
    """Do what the code was made for, now that its reader agrees."""
    same_origin()
    view = _view(k1)
    before = holder()
    try:
        cookie = in_transaction(session(), lambda: _finish(view, before))
    except (InvalidRequest, LoginInvalid) as error:
        return _show(view, error.detail, 403)
    added = f"{SECURITY}?done=lightning" if view.purpose is LoginPurpose.ADD else ""
    response = make_response(redirect(added or next_path(), 303))
    response.delete_cookie(_browser_cookie(), path="/", httponly=True, secure=_is_https())
    sign_in(response, cookie)
    return response


def remove() -> Response:
    """Forget a key."""
    same_origin()
    known, key = require_holder(), request.form.get("key", "")
    in_transaction(session(), lambda: remove_key(deps(), session(), known, key))
    return make_response(redirect(f"{SECURITY}?done=lightning_removed", 303))


def _finish(view: LoginView, before: Holder | None) -> str:
    args = deps(), session()
    secret = _browser_secret()
    if view.purpose is LoginPurpose.SIGN_IN:
        cookie = finish_sign_in(
            *args, view.k1, secret, device_label(), new_wallet="new" in request.form
        )
        leave_wallet(*args, before, "understood" in request.form)
        return cookie
    known = before or require_holder()
    if view.purpose is LoginPurpose.ADD:
        return finish_adding(*args, known, view.k1, secret)
    return finish_confirmation(*args, known, view.k1, secret)


def _show(view: LoginView, error: str, status: int) -> Response:
    known = holder()
    return page(
        "wallet_lightning.html",
        status=status,
        login=view,
        minutes_left=-(-(view.expires_at - deps().clock()) // 60),
        next=next_path(),
        failed=error,
        holds_wallet=known is not None,
        gives_up=known is not None and not is_secured(session(), known.wallet_id),
    )


def _view(k1: str) -> LoginView:
    return login_view(deps(), session(), k1, _browser_secret())


def _purpose(text: str) -> LoginPurpose:
    try:
        return LoginPurpose(text)
    except ValueError:
        raise InvalidRequest("Say what the code is for.") from None


def _browser_cookie() -> str:
    """Return the name beside the wallet's own cookie, with its prefix."""
    return f"{cookie_name()}_login"


def _browser_secret() -> str:
    return request.cookies.get(_browser_cookie(), "")


def _set_browser_secret(response: Response, secret: str) -> None:
    response.set_cookie(
        _browser_cookie(),
        secret,
        max_age=LIFETIME_S,
        path="/",
        httponly=True,
        secure=_is_https(),
        samesite="Lax",
    )


def _is_https() -> bool:
    return deps().settings.public_url.startswith("https:")
