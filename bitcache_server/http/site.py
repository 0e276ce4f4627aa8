"""Everything that the web server serves, put together."""

from flask import Flask

from bitcache_server.http import cors, downloads, errors, headers, health, limits, pages, widget
from bitcache_server.http.api_v1 import ROUTES
from bitcache_server.http.context import deps
from bitcache_server.http.document import document_route
from bitcache_server.http.routing import add_routes


def init_app(app: Flask) -> None:
    """Attach errors, origins, limits, the API, the pages and the widget to an app."""
    errors.register(app)
    with app.app_context():
        limits.init_app(app, deps().settings.rate_limit_storage)
    headers.register(app)
    cors.register(app)
    add_routes(app, ROUTES)
    add_routes(app, (document_route(ROUTES), health.ROUTE))
    downloads.register(app)
    widget.register(app)
    pages.register(app)
