"""/gift/<secret>: the money behind a link, as a code to scan. Looking at it takes nothing.

Whoever made the link gets a page of their own: the link to send on, and the way back.
"""

from flask import Blueprint, Flask, Response, make_response, render_template
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import UnknownLink
from bitcache_server.http.context import deps, session
from bitcache_server.http.error_pages import error_page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import keep_source
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.http.lnurl.withdraw import withdraw_lnurl
from bitcache_server.http.qr import qr_svg
from bitcache_server.http.wallet.cookie import holder
from bitcache_server.http.wallet.look import reader_wallet, utc_words
from bitcache_server.services.withdraw_claims import claim_terms, look_at_link


def register(app: Flask) -> None:
    """Add the page and its code to an app."""
    pages = Blueprint("gift", __name__)
    pages.register_error_handler(UnknownLink, _no_link)
    pages.register_error_handler(Exception, error_page)
    pages.before_request(_begin)
    pages.after_request(_headers)
    pages.add_url_rule("/gift/<secret>", "show", show)
    pages.add_url_rule("/gift/<secret>/qr.svg", "code", code)
    app.register_blueprint(pages)


def _begin() -> None:
    keep_source()
    check_limit(READS)


def show(secret: str) -> Response:
    """Show what is behind the link, and how to take it; to its maker, how to give it."""
    known = holder()
    found = look_at_link(deps(), session(), secret, known.wallet_id if known else None)
    path = f"/gift/{secret}"
    html = render_template(
        "gift_maker.html" if found.is_maker else "gift.html",
        here="withdraw",
        reader_wallet=reader_wallet,
        link=found,
        url=f"{deps().settings.public_url}{path}",
        until=utc_words(found.expires_at),
        lnurl=withdraw_lnurl(secret),
        qr_url=f"{path}/qr.svg",
    )
    answer = make_response(html)
    if found.is_maker:
        # With `no-referrer` a browser would send our own form with the origin `null`.
        answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def code(secret: str) -> Response:
    """Return the code to scan; there is none once the money was taken."""
    claim_terms(deps(), session(), secret)
    picture = qr_svg(f"LIGHTNING:{withdraw_lnurl(secret)}")
    return Response(picture, content_type="image/svg+xml")


def _no_link(error: UnknownLink) -> ResponseReturnValue:
    return render_template("gift_none.html"), status_of(type(error))


def _headers(response: Response) -> Response:
    # Whoever has the address has the money: no cache keeps it, and no other site is told.
    response.headers["Cache-Control"] = "no-store"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
