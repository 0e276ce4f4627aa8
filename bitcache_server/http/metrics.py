"""What Prometheus asks for, and the layer around everything that counts requests.

The counters belong to a process. With several of them each writes its own into a folder that
``bitcache serve`` made for all (prometheus-client's multiprocess mode), and whichever is asked
adds them up. What stands in the database is read when it is asked for.
"""

import itertools
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bitcache_server.domain.errors import NotFound
from bitcache_server.http.context import deps, session
from bitcache_server.http.counters import (
    ERRORS,
    FOLDER_VARIABLE,
    REQUESTS,
    SECONDS,
    TALLY,
    WITHIN,
)
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.logs import REQUESTS as LOGGER
from bitcache_server.logs import request_id
from bitcache_server.services.deps import Deps, deps_of
from bitcache_server.services.figures import Figure, Figures
from bitcache_server.tokens.secrets import hash_secret, secret_matches

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"
ROUTE = "bitcache.route"
#: Answered in front of Flask, where no route is matched.
FRONT = {"/v1/unlocks", "/v1/invoices", "/v1/grant"}
UNKNOWN = "unknown"
EXTENSION = "bitcache.figures"

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
_LOOPBACK_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.ASCII)

log = logging.getLogger(LOGGER)


class Requests:
    """WSGI middleware around everything: gives each request an id, counts it, times it."""

    def __init__(self, app: Flask, inner: "WSGIApplication") -> None:
        self._inner = inner
        self._trusts = deps_of(app).settings.trusted_proxies > 0
        # Unique without asking the system for each: the process, and a number.
        self._prefix, self._numbers = secrets.token_hex(6), itertools.count(1)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Pass the request on."""
        name = self._id_of(environ)
        token = request_id.set(name)
        began = time.perf_counter()
        seen = "500"

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[..., Any]:
            nonlocal seen
            seen = status
            headers.append(("X-Request-Id", name))
            return start_response(status, headers, *more)

        try:
            return self._inner(environ, start)
        finally:
            self._count(environ, seen, time.perf_counter() - began)
            request_id.reset(token)

    def _id_of(self, environ: "WSGIEnvironment") -> str:
        given = environ.get("HTTP_X_REQUEST_ID") if self._trusts else None
        if given and _ID.fullmatch(given):
            return str(given)
        return f"{self._prefix}{next(self._numbers):x}"

    def _count(self, environ: "WSGIEnvironment", status: str, seconds: float) -> None:
        path = environ["PATH_INFO"]
        route = environ.get(ROUTE) or (path if path in FRONT else UNKNOWN)
        TALLY.add(route, status[0], seconds)
        if log.isEnabledFor(logging.INFO):
            extra = {
                "method": environ["REQUEST_METHOD"][:16],
                "route": route,
                "status": int(status[:3]),
                "duration_ms": round(seconds * 1000, 1),
            }
            log.info("request", extra=extra)


def register(app: Flask) -> None:
    """Add ``/metrics`` to an app, and what tells the layer around it which route it took."""
    app.extensions[EXTENSION] = Figures()

    @app.before_request
    def _name_route() -> None:
        rule = request.url_rule
        request.environ[ROUTE] = rule.rule if rule is not None else UNKNOWN

    @app.get(PATH, endpoint="metrics")
    def _metrics() -> Response:
        check_limit(READS)
        _require_permission(deps())
        TALLY.put()
        figures: Figures = app.extensions[EXTENSION]
        text = generate_latest(_registry(figures.read(deps(), session())))
        answer = Response(text, content_type=CONTENT_TYPE_LATEST)
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _require_permission(known: Deps) -> None:
    """Raise NotFound for who may not ask: nobody need know that there is anything here."""
    token = known.settings.metrics_token
    if token is None:
        if not _is_local(request.environ):
            raise NotFound()
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    stored = hash_secret(token.get_secret_value())
    if scheme.lower() != "bearer" or not secret_matches(given.strip(), stored):
        raise NotFound()


def _is_local(environ: "WSGIEnvironment") -> bool:
    """Return whether a program of this machine asks by itself, through no proxy.

    A proxy beside us has the same address, and shows in the headers that it adds or in the
    public name that was asked for.
    """
    before = environ.get("werkzeug.proxy_fix.orig", environ)
    return (
        before.get("REMOTE_ADDR") in _LOOPBACK
        and environ.get("REMOTE_ADDR") in _LOOPBACK
        and not any(name in environ for name in _FORWARDED)
        and _LOOPBACK_HOST.fullmatch(before.get("HTTP_HOST") or "") is not None
    )


class _Read(Collector):
    """Hands over what was read from the database."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield a family for each name."""
        for figure in self._figures:
            family = GaugeMetricFamily(figure.name, figure.words, labels=figure.labels)
            for values, number in figure.samples:
                family.add_metric(values, number)
            yield family


def _registry(figures: Iterable[Figure]) -> CollectorRegistry:
    registry = CollectorRegistry()
    if os.environ.get(FOLDER_VARIABLE):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        for counter in (REQUESTS, WITHIN, SECONDS, ERRORS):
            registry.register(counter)
    registry.register(_Read(figures))
    return registry
