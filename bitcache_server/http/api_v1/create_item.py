"""POST /v1/items: a site prices an article or a file."""

from typing import Annotated

from flask import Response
from pydantic import Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, Text, idempotency_key, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.once import once
from bitcache_server.services.views import ItemView, item_view


class CreateItem(Body):
    """An article has ``content_html``, a file has ``file_path``."""

    title: Text
    price: Text | int
    """A decimal as a string, such as "0.05", or a whole number."""
    currency: Text
    """An ISO 4217 code, or SAT."""
    teaser: Text = ""
    external_id: Text | None = None
    access_hours: Annotated[int, Field(gt=0)] | None = None
    content_html: Text | None = None
    file_path: Text | None = None


def create_item() -> Response:
    """Create the item, or change the one with the same external id."""
    site = require_site()
    body = read_json(CreateItem)
    new = NewItem(**body.model_dump())
    text = once(
        deps(),
        session(),
        site.id,
        idempotency_key(),
        ["create_item", body.model_dump()],
        lambda: item_view(deps(), session(), add_item(deps(), session(), site, new)),
    )
    return json_answer(text, 201)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/items",
        operation_id="create_item",
        summary="Price an article or a file",
        description="With an external_id that the site used before, the item is changed.",
        tag="items",
        request=CreateItem,
        response=ItemView,
        status=201,
        security="site",
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.InvalidPrice,
            errors.UnknownCurrency,
            errors.FileMissing,
            errors.FilePathRefused,
            errors.IdempotencyConflict,
            errors.StorageFull,
        ),
    ),
    create_item,
)
