"""Everything that the web server serves, put together."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from bitcache_server.http import (
    account,
    brand,
    checkout_words,
    connect,
    contacts,
    cors,
    dashboard,
    discovery,
    downloads,
    errors,
    gift_page,
    headers,
    health,
    l402,
    language,
    limits,
    lnurl,
    metrics,
    operator,
    order_pages,
    pages,
    wallet,
    widget,
)
from bitcache_server.http.api_v1 import ROUTES, read_content, read_file
from bitcache_server.http.document import document_route
from bitcache_server.http.grant_check import GrantCheck
from bitcache_server.http.invoices import Invoices
from bitcache_server.http.routing import add_routes
from bitcache_server.http.unlocks import Unlocks
from bitcache_server.services.deps import deps_of


def init_app(app: Flask) -> None:
    """Attach errors, origins, limits, the API, the pages and the widget to an app."""
    metrics.register(app)
    errors.register(app)
    settings = deps_of(app).settings
    limits.init_app(app, settings.rate_limit_storage)
    headers.register(app)
    language.register(app)
    cors.register(app)
    contacts.register(app)
    routes = (*ROUTES, health.ROUTE, discovery.ROUTE)
    add_routes(app, (*routes, document_route(routes)))
    downloads.register(app)
    widget.register(app)
    checkout_words.register(app)
    pages.register(app)
    order_pages.register(app)
    l402.serve_on_page(app, "pages.item_page", read_content.read_content, read_file.read_file)
    wallet.register(app)
    dashboard.register(app)
    account.register(app)
    brand.register(app)
    connect.register(app)
    operator.register(app)
    lnurl.register(app)
    gift_page.register(app)
    served = GrantCheck(app, Unlocks(app, Invoices(app, app.wsgi_app)))
    hops = settings.trusted_proxies
    behind = ProxyFix(served, x_for=hops, x_proto=hops) if hops else served
    # Flask documents this as the way to add middleware.
    app.wsgi_app = metrics.Requests(app, behind)  # type: ignore[method-assign]
