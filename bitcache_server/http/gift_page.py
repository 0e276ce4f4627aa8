"""/gift/<secret>: the money behind a link, as a code to scan. Looking at it takes nothing."""

from flask import Blueprint, Flask, Response, make_response, render_template
from flask.typing import ResponseReturnValue

from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import log_unexpected, problem, translate
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.http.lnurl.withdraw import withdraw_lnurl
from bitcache_server.http.qr import qr_svg
from bitcache_server.http.wallet.look import utc_words
from bitcache_server.services.withdraw_claims import claim_terms, look_at_link


def register(app: Flask) -> None:
    """Add the page and its code to an app."""
    pages = Blueprint("gift", __name__)
    pages.register_error_handler(Exception, _error_page)
    pages.before_request(lambda: check_limit(READS))
    pages.after_request(_headers)
    pages.add_url_rule("/gift/<secret>", "show", show)
    pages.add_url_rule("/gift/<secret>/qr.svg", "code", code)
    app.register_blueprint(pages)


def show(secret: str) -> Response:
    """Show what is behind the link, and how to take it."""
    found = look_at_link(deps(), session(), secret)
    html = render_template(
        "gift.html",
        link=found,
        until=utc_words(found.expires_at),
        lnurl=withdraw_lnurl(secret),
        qr_url=f"/gift/{secret}/qr.svg",
    )
    return make_response(html)


def code(secret: str) -> Response:
    """Return the code to scan; there is none once the money was taken."""
    claim_terms(deps(), session(), secret)
    picture = qr_svg(f"LIGHTNING:{withdraw_lnurl(secret)}")
    return Response(picture, content_type="image/svg+xml")


def _error_page(error: Exception) -> ResponseReturnValue:
    translated = translate(error)
    log_unexpected(translated)
    body, status, headers = problem(translated)
    headers.pop("Content-Type")
    return render_template("error.html", error=body), status, headers


def _headers(response: Response) -> Response:
    # Whoever has the address has the money: no cache keeps it, and no other site is told.
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
