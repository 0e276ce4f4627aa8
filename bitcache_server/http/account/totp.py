"""/account/totp: one-time passwords by time, from an app (RFC 6238)."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import InvalidRequest, NotFound
from bitcache_server.http.account.access import require_confirmed
from bitcache_server.http.account.door import SECURITY
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.language import said
from bitcache_server.http.qr import qr_svg
from bitcache_server.services.accounts import get_account
from bitcache_server.services.once import in_transaction
from bitcache_server.services.totp import (
    NewSecret,
    begin_totp,
    pending_totp,
    turn_off_totp,
    turn_on_totp,
)

PATH = "/account/totp"


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    pages.add_url_rule("/totp", "totp", show)
    pages.add_url_rule("/totp/qr.svg", "totp_qr", qr)
    pages.add_url_rule("/totp/begin", "totp_begin", begin, methods=["POST"])
    pages.add_url_rule("/totp", "totp_on", turn_on, methods=["POST"])
    pages.add_url_rule("/totp/off", "totp_off", turn_off, methods=["POST"])


def show() -> Response:
    """Show the secret to an app, as long as it is not in use."""
    return _page(_pending())


def qr() -> Response:
    """Draw the secret."""
    response = make_response(qr_svg(_pending().uri))
    response.content_type = "image/svg+xml"
    return response


def begin() -> Response:
    """Make a secret."""
    known = require_confirmed()
    in_transaction(session(), lambda: begin_totp(deps(), session(), known))
    return make_response(redirect(PATH, 303))


def turn_on() -> Response:
    """Take the first password of the app."""
    known, code = require_confirmed(), request.form.get("code", "")
    pending = _pending()
    try:
        in_transaction(session(), lambda: turn_on_totp(deps(), session(), known, code))
    except InvalidRequest as error:
        return _page(pending, said(error), 422)
    return make_response(redirect(f"{SECURITY}?done=totp", 303))


def turn_off() -> Response:
    """Ask for no one-time passwords any longer."""
    known = require_confirmed()
    in_transaction(session(), lambda: turn_off_totp(deps(), session(), known))
    return make_response(redirect(f"{SECURITY}?done=totp_off", 303))


def _pending() -> NewSecret:
    known = require_confirmed()
    pending = pending_totp(deps(), get_account(session(), known.account_id))
    if pending is None:
        raise NotFound()
    return pending


def _page(pending: NewSecret, error: str = "", status: int = 200) -> Response:
    return page("account/totp.html", here="security", status=status, failed=error, new=pending)
