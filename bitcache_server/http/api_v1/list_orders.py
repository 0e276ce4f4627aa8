"""GET /v1/orders: a site's orders, newest first."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.domain.order_state import OrderState
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, read_query
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.models.orders import Order
from bitcache_server.services.order_views import OrderView, order_view
from bitcache_server.services.orders import list_orders as list_of_orders


class OrderQuery(PageQuery):
    """Which orders."""

    state: OrderState | None = None


class OrderPage(BaseModel):
    """Some orders and the cursor of the next ones; null at the end."""

    orders: list[OrderView]
    next_cursor: str | None


def list_orders() -> Response:
    """Return a page of the site's orders."""
    site = require_site("orders:read")
    query = read_query(OrderQuery)
    mine = Order.site_id == site.id
    page = list_of_orders(session(), mine, query.cursor, query.limit, state=query.state)
    views = [order_view(deps(), order) for order in page.rows]
    return json_answer(OrderPage(orders=views, next_cursor=page.next_cursor))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/orders",
        operation_id="list_orders",
        summary="List the site's orders",
        description="Newest first, all of them or those in a state; follow next_cursor.",
        tag="orders",
        response=OrderPage,
        query=OrderQuery,
        security="site",
        scope="orders:read",
        errors=(errors.InvalidRequest,),
    ),
    list_orders,
)
