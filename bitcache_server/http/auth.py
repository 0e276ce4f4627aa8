"""Who calls: a site's server with its secret, or a reader with a grant."""

from flask import request

from bitcache_server.domain.errors import MissingSecret
from bitcache_server.http.context import session
from bitcache_server.models.catalog import Site
from bitcache_server.services.merchants import authenticate_site

MAX_TOKEN_CHARS = 4_096


def bearer_token() -> str | None:
    """Return the token of ``Authorization: Bearer …`` (RFC 6750), or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    return token.strip()[: MAX_TOKEN_CHARS + 1]


def require_site() -> Site:
    """Return the site whose secret was sent; raise MissingSecret or BadSecret."""
    token = bearer_token()
    if token is None:
        raise MissingSecret("Send the site's secret as `Authorization: Bearer …`.")
    return authenticate_site(session(), token)
