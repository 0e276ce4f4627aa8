"""GET /v1/content/{item_id}: the locked part of an article."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import bearer_token
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.create_invoice import check_origin
from bitcache_server.services.deliver import article_of, open_item


class ContentView(BaseModel):
    """The article's locked part, as its author wrote it."""

    item: str
    title: str
    html: str


def read_content(item_id: str) -> Response:
    """Return the article that the grant opens."""
    item = open_item(deps(), session(), item_id, bearer_token()).item
    check_origin(deps(), session(), item.site_id, page_origin())
    return json_answer(ContentView(item=item.id, title=item.title, html=article_of(item)))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/content/{item_id}",
        operation_id="read_content",
        summary="Read a paid article",
        description="Never cached; the grant stands in the Authorization header.",
        tag="content",
        response=ContentView,
        security="grant",
        errors=(
            errors.UnknownItem,
            errors.OriginNotAllowed,
            errors.GrantInvalid,
            errors.GrantExpired,
            errors.GrantRevoked,
            errors.WrongKind,
        ),
    ),
    read_content,
)
