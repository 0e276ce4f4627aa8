"""GET /v1/grant in front of Flask: the check that sites make for every page view.

An invoice's grant is checked offline, so the check itself takes a fraction of what Flask
needs to receive a request. This answers the good case (PEP 3333) and hands everything else,
an error, a page of another origin, a key that is not cached or a wallet's grant that has to
be looked up, to the route behind it.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.http.context import block_of
from bitcache_server.http.limits import READS, hit_all
from bitcache_server.services.deliver import may_be_alive
from bitcache_server.services.deps import deps_of
from bitcache_server.services.site_keys import cached_signer
from bitcache_server.tokens.grants import claimed_site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/v1/grant"
HEADERS = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("Vary", "Origin"),
    ("X-Content-Type-Options", "nosniff"),
]


class GrantCheck:
    """WSGI middleware; ``inner`` is the app with the same route."""

    def __init__(self, app: Flask, inner: "WSGIApplication") -> None:
        self._app = app
        self._deps = deps_of(app)
        self._inner = inner

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a good grant; let the app answer everything else."""
        body = self._check(environ) if _is_plain_check(environ) else None
        if body is None:
            return self._inner(environ, start_response)
        start_response("200 OK", [*HEADERS, ("Content-Length", str(len(body)))])
        return [body]

    def _check(self, environ: "WSGIEnvironment") -> bytes | None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = self._deps.clock()
        try:
            site_id = claimed_site(token)
            signer = cached_signer(self._deps, site_id, now)
            claims = signer.check(token, site=site_id, now=now) if signer else None
        except BitcacheError:
            return None
        who = block_of(environ.get("REMOTE_ADDR", ""))
        if claims is None or not may_be_alive(self._deps, claims, now):
            return None
        if hit_all(self._app, READS, who):
            return None
        return json.dumps(vars(claims)).encode()


def _is_plain_check(environ: "WSGIEnvironment") -> bool:
    return (
        environ["PATH_INFO"] == PATH
        and environ["REQUEST_METHOD"] == "GET"
        and "HTTP_ORIGIN" not in environ
    )
