"""POST /v1/unlocks in front of Flask: one click, answered with little more than the spend.

This answers well-formed requests whose allowance is good (PEP 3333) and hands all others
to the route behind it, which says the same. Two things make it quick: an offer is kept
for a moment, and on PostgreSQL clicks that arrive together are sent together.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from pydantic import ValidationError

from bitcache_server.domain.errors import BitcacheError, InsufficientBalance
from bitcache_server.extensions import db
from bitcache_server.http.api_v1.unlock_item import PATH, UnlockItem, unlock_json
from bitcache_server.http.auth import MAX_TOKEN_CHARS
from bitcache_server.http.body import check_idempotency_key
from bitcache_server.http.context import block_of
from bitcache_server.http.front import is_small_post, read_body, send, send_problem
from bitcache_server.http.limits import UNLOCKS, hit_all
from bitcache_server.services.deps import deps_of
from bitcache_server.services.fill_wallet import fill_for
from bitcache_server.services.unlock_item import Unlocked, UnlockOrder, order_by_allowance
from bitcache_server.services.unlock_quickly import QuickUnlocks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Unlocks:
    """WSGI middleware; ``inner`` is the app with the same route."""

    def __init__(self, app: Flask, inner: "WSGIApplication") -> None:
        self._app = app
        self._deps = deps_of(app)
        self._inner = inner
        with app.app_context():
            engine = db.engine
        self._unlocks = QuickUnlocks(self._deps, engine, app.app_context, lambda: db.session())

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a good order; let the app answer everything else."""
        order = self._order(environ) if self._is_for_here(environ) else None
        if order is None or self._is_limited(environ):
            return self._inner(environ, start_response)
        try:
            body = unlock_json(self._unlock(order))
        except Exception as error:
            return send_problem(environ, start_response, error)
        return send(start_response, environ["HTTP_ORIGIN"], "200 OK", body)

    def _is_for_here(self, environ: "WSGIEnvironment") -> bool:
        return "HTTP_ORIGIN" in environ and is_small_post(environ, PATH)

    def _unlock(self, order: UnlockOrder) -> Unlocked:
        try:
            return self._unlocks.unlock(order)
        except InsufficientBalance:
            with self._app.app_context():
                fill_for(self._deps, db.session(), order)
            return self._unlocks.unlock(order)

    def _order(self, environ: "WSGIEnvironment") -> UnlockOrder | None:
        """Return the order, or None and leave the request as it came."""
        data = read_body(environ)
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_CHARS:
            return None
        try:
            body = UnlockItem.model_validate_json(data)
            return order_by_allowance(
                self._deps,
                token.strip(),
                environ["HTTP_ORIGIN"],
                item_id=body.item,
                idempotency_key=check_idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY")),
                max_amount_msat=body.max_amount_msat,
                auto=body.auto,
            )
        except (BitcacheError, ValidationError):
            return None

    def _is_limited(self, environ: "WSGIEnvironment") -> bool:
        return hit_all(self._app, UNLOCKS, block_of(environ.get("REMOTE_ADDR", ""))) > 0
