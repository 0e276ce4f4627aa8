"""POST /v1/orders/{order_id}/cancel: a shop gives an order up."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import idempotency_key
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.models.orders import Order
from bitcache_server.services.once import once
from bitcache_server.services.order_views import OrderView, order_view
from bitcache_server.services.orders import cancel_order as cancel
from bitcache_server.services.orders import get_order


def cancel_order(order_id: str) -> Response:
    """Take no more money for the order."""
    site = require_site("orders:write")

    def produce() -> OrderView:
        order = get_order(session(), order_id, Order.site_id == site.id)
        return order_view(deps(), cancel(deps(), session(), order))

    request = ["cancel_order", order_id]
    text = once(deps(), session(), site.id, idempotency_key(), request, produce)
    return json_answer(text)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/orders/{order_id}/cancel",
        operation_id="cancel_order",
        summary="Cancel an open order",
        description=(
            "A payment that is on its way then becomes its payer's credit. What is paid is "
            "given back with POST /v1/refunds instead. A second call changes nothing."
        ),
        tag="orders",
        response=OrderView,
        security="site",
        scope="orders:write",
        idempotent=True,
        errors=(
            errors.InvalidRequest,
            errors.UnknownOrder,
            errors.OrderClosed,
            errors.IdempotencyConflict,
            errors.StorageFull,
        ),
    ),
    cancel_order,
)
