"""GET /v1/content/{item_id}: the locked part of an article."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.l402 import BILL_ERRORS, serve
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.models.catalog import Item
from bitcache_server.services.deliver import article_of


class ContentView(BaseModel):
    """The article's locked part, as its author wrote it."""

    item: str
    title: str
    html: str


def read_content(item_id: str) -> Response:
    """Return the article that the grant or the L402 token opens."""
    return serve(item_id, article_of, content_answer)


def content_answer(item: Item) -> Response:
    """Return an opened item's article."""
    return json_answer(ContentView(item=item.id, title=item.title, html=article_of(item)))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/content/{item_id}",
        operation_id="read_content",
        summary="Read a paid article",
        description=(
            "Never cached; the grant or the L402 token stands in the Authorization header. "
            "A program without either gets an L402 challenge where the item is sold over "
            "Lightning; pages and browsers are told `grant_missing`."
        ),
        tag="content",
        response=ContentView,
        security="buyer",
        errors=(
            *BILL_ERRORS,
            errors.UnknownItem,
            errors.ItemArchived,
            errors.OriginNotAllowed,
            errors.GrantInvalid,
            errors.GrantExpired,
            errors.GrantRevoked,
            errors.WrongKind,
            errors.ContentElsewhere,
        ),
    ),
    read_content,
)
