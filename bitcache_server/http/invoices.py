"""POST /v1/invoices over Lightning in front of Flask: little more than what the node costs.

Well-formed orders for what the operator's node sells are answered here, all others by the
route behind. PostgreSQL only: on SQLite orders cannot be stored together.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from pydantic import ValidationError

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.extensions import db
from bitcache_server.http.api_v1.create_invoice import (
    PATH,
    CreateInvoice,
    key_owner,
    key_request,
)
from bitcache_server.http.body import check_idempotency_key
from bitcache_server.http.context import block_of
from bitcache_server.http.front import is_small_post, read_body, send, send_problem
from bitcache_server.http.limits import INVOICES, SITE_INVOICES, count_ahead
from bitcache_server.services.create_invoice import InvoiceOrder
from bitcache_server.services.deps import deps_of
from bitcache_server.services.invoice_quickly import CallKey, QuickInvoices
from bitcache_server.services.once import call_hash

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Invoices:
    """WSGI middleware; ``inner`` is the app with the same route."""

    def __init__(self, app: Flask, inner: "WSGIApplication") -> None:
        self._app = app
        self._deps = deps_of(app)
        self._inner = inner
        with app.app_context():
            engine = db.engine
        self._quick: QuickInvoices | None = None
        if engine.dialect.name == "postgresql":
            self._quick = QuickInvoices(self._deps, engine, app.app_context, lambda: db.session())

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a good order; let the app answer everything else."""
        if self._quick is None or not is_small_post(environ, PATH):
            return self._inner(environ, start_response)
        try:
            answer = self._answer(self._quick, environ)
        except Exception as error:
            return send_problem(environ, start_response, error)
        if answer is None:
            return self._inner(environ, start_response)
        return send(start_response, self._origin(environ), "201 CREATED", answer)

    def _answer(self, quick: QuickInvoices, environ: "WSGIEnvironment") -> str | None:
        """Return the invoice; None, and the request as it came, when it is not for here."""
        block = block_of(environ.get("REMOTE_ADDR", ""))
        try:
            body = CreateInvoice.model_validate_json(read_body(environ))
            key = check_idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
            order = InvoiceOrder(body.item, body.challenge, body.rail, self._origin(environ))
            offer = quick.find(order) if count_ahead(self._app, environ, INVOICES, block) else None
        except (BitcacheError, ValidationError):
            return None
        if offer is None:
            return None
        if not count_ahead(self._app, environ, SITE_INVOICES, offer.item.site_id):
            return None
        call = CallKey(key_owner(block), key, call_hash(key_request(body))) if key else None
        return quick.sell(offer, order, call)

    def _origin(self, environ: "WSGIEnvironment") -> str | None:
        """Return the page's origin; None for our own pages and for servers."""
        origin: str | None = environ.get("HTTP_ORIGIN")
        return None if origin == self._deps.settings.public_url else origin
