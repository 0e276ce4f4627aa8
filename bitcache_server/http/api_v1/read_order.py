"""GET /v1/orders/{order_id}: what has become of an order."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.models.orders import Order
from bitcache_server.services.order_views import OrderInFull, order_in_full
from bitcache_server.services.orders import get_order


def read_order(order_id: str) -> Response:
    """Return an order of the site."""
    site = require_site("orders:read")
    order = get_order(session(), order_id, Order.site_id == site.id)
    return json_answer(order_in_full(deps(), session(), order))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/orders/{order_id}",
        operation_id="read_order",
        summary="Read an order",
        description="With the invoices that were made for it.",
        tag="orders",
        response=OrderInFull,
        security="site",
        scope="orders:read",
        errors=(errors.InvalidRequest, errors.UnknownOrder),
    ),
    read_order,
)
