"""GET /v1/items/{item_id}: what everyone may see of an item."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.http.visits import saw_the_wall
from bitcache_server.services.create_invoice import check_origin
from bitcache_server.services.items import get_item
from bitcache_server.services.views import ItemView, item_view


def read_item(item_id: str) -> Response:
    """Return the public part of an item."""
    item = get_item(session(), item_id)
    check_origin(deps(), session(), item.site_id, page_origin())
    if page_origin() is not None:
        # Neither a server that reads the price nor the merchant's preview, which is our page.
        saw_the_wall(item.id)
    return json_answer(item_view(deps(), session(), item))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/items/{item_id}",
        operation_id="read_item",
        summary="Read the public part of an item",
        description="Title, teaser, price now and how it can be paid. Never the locked part.",
        tag="items",
        response=ItemView,
        errors=(errors.UnknownItem, errors.OriginNotAllowed),
    ),
    read_item,
)
