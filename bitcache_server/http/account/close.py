"""/account/close: close an account for good."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import BitcacheError, InvalidRequest, LastOwner
from bitcache_server.http.account.access import forget, require_confirmed
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import SIGN_IN, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.i18n import mark as _
from bitcache_server.services.account_sessions import SignedIn
from bitcache_server.services.accounts import close_account
from bitcache_server.services.members import merchants_of
from bitcache_server.services.once import in_transaction

NOT_UNDERSTOOD = _("Tick the box first.")
LAST_OWNER = _(
    "You are the only owner of a merchant. Make somebody else an owner of it first, on its "
    "page of people."
)


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    pages.add_url_rule("/close", "close", show)
    pages.add_url_rule("/close", "close_form", close, methods=["POST"])


def show() -> Response:
    """Say what ends with the account."""
    return _page(require_confirmed())


def close() -> Response:
    """Close the account and sign this browser out."""
    known = require_confirmed()
    if "understood" not in request.form:
        return _page(known, InvalidRequest(NOT_UNDERSTOOD))
    try:
        in_transaction(session(), lambda: close_account(deps(), session(), known))
    except LastOwner:
        return _page(known, LastOwner(LAST_OWNER))
    response = make_response(redirect(f"{SIGN_IN}?done=closed", 303))
    forget(response)
    return response


def _page(known: SignedIn, error: BitcacheError | None = None) -> Response:
    return page(
        "account/close.html",
        here="security",
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        merchants=merchants_of(session(), known.account_id),
    )
