"""Who calls: a site's server with its secret or a key, or a reader with a grant."""

from flask import request

from bitcache_server.domain.errors import MissingSecret
from bitcache_server.http.contacts import called
from bitcache_server.http.context import deps, session
from bitcache_server.models.catalog import Site
from bitcache_server.services.api_keys import Scope, authenticate_key
from bitcache_server.services.merchants import authenticate_site, get_site
from bitcache_server.services.site_contacts import Contact
from bitcache_server.tokens.secrets import API_KEY_PREFIX

MAX_TOKEN_CHARS = 4_096


def bearer_token() -> str | None:
    """Return the token of ``Authorization: Bearer …`` (RFC 6750), or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    return token.strip()[: MAX_TOKEN_CHARS + 1]


def require_site(scope: Scope) -> Site:
    """Return the site whose secret was sent, or whose key with this scope.

    Raises MissingSecret, BadSecret, ScopeMissing.
    """
    token = bearer_token()
    if token is None:
        raise MissingSecret("Send the site's secret or a key as `Authorization: Bearer …`.")
    now = deps().clock()
    if token.startswith(f"{API_KEY_PREFIX}_"):
        key = authenticate_key(session(), token, scope, now)
        called(Contact("key", key.id))
        site = get_site(session(), key.site_id)
    else:
        site = authenticate_site(session(), token, now)
    called(Contact("server", site.id))
    return site
