"""GET /v1/items: what a site sells, newest first."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.api_v1.create_item import SiteItemView, site_item_view
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, read_query
from bitcache_server.http.context import session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.items import list_items as list_of_items
from bitcache_server.services.splits import list_splits


class ItemPage(BaseModel):
    """Some items and the cursor of the next ones; null at the end."""

    items: list[SiteItemView]
    next_cursor: str | None


def list_items() -> Response:
    """Return a page of the site's items."""
    site = require_site("items:read")
    query = read_query(PageQuery)
    page = list_of_items(session(), site.id, query.cursor, query.limit)
    authors = list_splits(session(), [item.id for item in page.rows])
    views = [site_item_view(item, authors[item.id]) for item in page.rows]
    return json_answer(ItemPage(items=views, next_cursor=page.next_cursor))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/items",
        operation_id="list_items",
        summary="List the site's items",
        description="Newest first; follow next_cursor until it is null.",
        tag="items",
        response=ItemPage,
        query=PageQuery,
        security="site",
        scope="items:read",
        errors=(errors.InvalidRequest,),
    ),
    list_items,
)
