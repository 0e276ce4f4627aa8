"""The reader's wallet: first-party pages on our own origin, one concern a file.

Each module has ``add_routes(pages)``. A form is answered with a redirect, so that a
reload repeats nothing; every state change checks that our own page sent it.
"""

from flask import Blueprint, Flask, Response, request
from flask.typing import ResponseReturnValue

from bitcache_server.http.error_pages import error_page
from bitcache_server.http.errors import log_unexpected, problem_response, translate
from bitcache_server.http.language import keep_source
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.http.wallet import (
    account,
    claim,
    connect,
    connection,
    gift,
    home,
    lightning,
    look,
    passkeys,
    purchases,
    recovery,
    security,
    sites,
    solvency,
    top_up,
    withdraw,
    withdraw_link,
)
from bitcache_server.http.wallet import session as wallet_session

MODULES = (
    account,
    claim,
    connect,
    connection,
    gift,
    home,
    lightning,
    passkeys,
    purchases,
    recovery,
    security,
    sites,
    solvency,
    top_up,
    wallet_session,
    withdraw,
    withdraw_link,
)


def register(app: Flask) -> None:
    """Add the wallet's pages to an app."""
    pages = Blueprint("wallet", __name__, url_prefix="/wallet")
    pages.register_error_handler(Exception, _error_page)
    pages.before_request(_limit)
    pages.after_request(_page_headers)
    look.register(app, pages)
    for module in MODULES:
        module.add_routes(pages)
    app.register_blueprint(pages)


def _error_page(error: Exception) -> ResponseReturnValue:
    translated = translate(error)
    if request.mimetype == "application/json":
        log_unexpected(translated)
        return problem_response(translated)
    return error_page(translated)


def _limit() -> None:
    keep_source()
    check_limit(READS)


def _page_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # With `no-referrer` a browser would send our own forms with the origin `null`.
    response.headers["Referrer-Policy"] = "same-origin"
    return response
