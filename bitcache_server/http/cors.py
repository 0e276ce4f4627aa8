"""Cross-origin calls (https://fetch.spec.whatwg.org/#http-cors-protocol).

An answer may be read by pages of a site that is known here, and by no others. Which
site's page may touch which item is checked again by the services.
"""

from flask import Flask, Response, g, request

from bitcache_server.domain.errors import OriginNotAllowed
from bitcache_server.http.context import client_block, deps, page_origin, session
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.services.origins import is_any_sites_origin

API_PREFIX = "/v1/"
PREFLIGHT_AGE_S = 600
CACHE_S = 30
CACHE_SIZE = 10_000


def register(app: Flask) -> None:
    """Check the origin before each API call and name it in the answer."""
    known: dict[str, int] = {}

    @app.before_request
    def _check() -> Response | None:
        origin = page_origin()
        if origin is None or not request.path.startswith(API_PREFIX):
            return None
        if not _is_known(known, origin):
            # The error itself is no secret, and the wall can then say what is wrong.
            g.cors_origin = "*"
            raise OriginNotAllowed(f"{origin[:200]} belongs to no site of this server.")
        g.cors_origin = origin
        return _preflight() if request.method == "OPTIONS" else None

    @app.after_request
    def _name(response: Response) -> Response:
        if request.path.startswith(API_PREFIX):
            response.headers.add("Vary", "Origin")
            origin = g.get("cors_origin")
            if origin is not None:
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        return response


def _is_known(known: dict[str, int], origin: str) -> bool:
    """Ask the database once in a while; only yes is remembered, so new sites work at once."""
    now = deps().clock()
    if now - known.get(origin, -CACHE_S) < CACHE_S:
        return True
    # A counter of its own: who has read too much may still be told so.
    check_limit(READS, f"origin {client_block()}")
    if not is_any_sites_origin(session(), origin):
        return False
    if len(known) >= CACHE_SIZE:
        known.clear()
    known[origin] = now
    return True


def _preflight() -> Response:
    return Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
            "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
        },
    )
