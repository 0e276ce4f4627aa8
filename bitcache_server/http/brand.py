"""/brand/<merchant>.css and .png: a merchant's colours and logo, for the hosted checkout."""

from flask import Flask, Response, request

from bitcache_server.domain.errors import NotFound
from bitcache_server.http.context import session
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.services.branding import (
    BrandView,
    brand_of,
    brand_of_site,
    colours_css,
    read_logo,
)

#: The address names the version.
_MAX_AGE_S = 86_400
#: Where customers pay; the pages of orders and links to pay among them.
CHECKOUT = ("/pay/", "/l/", "/order")


def register(app: Flask) -> None:
    """Add the files, and give the templates ``brand(site id)``."""
    app.add_url_rule("/brand/<merchant_id>.css", "brand_colours", colours)
    app.add_url_rule("/brand/<merchant_id>.png", "brand_logo", logo)
    app.context_processor(lambda: {"brand": brand})


def brand(site_id: str | None) -> BrandView | None:
    """Return the look of a site's merchant for a page of the checkout; None on all others.

    A reader's wallet is ours: it never looks like a merchant's.
    """
    if not site_id or not request.path.startswith(CHECKOUT):
        return None
    return brand_of_site(session(), site_id)


def colours(merchant_id: str) -> Response:
    """Return the merchant's colours as a style sheet."""
    check_limit(READS)
    return _file(colours_css(brand_of(session(), merchant_id)), "text/css; charset=utf-8")


def logo(merchant_id: str) -> Response:
    """Return the merchant's logo."""
    check_limit(READS)
    png = read_logo(session(), merchant_id)
    if png is None:
        raise NotFound()
    return _file(png, "image/png")


def _file(content: str | bytes, content_type: str) -> Response:
    return Response(
        content,
        headers={
            "Cache-Control": f"max-age={_MAX_AGE_S}",
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        },
        content_type=content_type,
    )
