"""POST /v1/items: a site prices an article or a file."""

from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, Text, idempotency_key, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.models.catalog import Item, Site
from bitcache_server.services.items import NewItem, add_item, file_of_site
from bitcache_server.services.once import once
from bitcache_server.services.splits import MAX_CO_AUTHORS, CoAuthor, list_splits
from bitcache_server.services.views import ItemView, item_view


class Split(Body):
    """A co-author's share of what is left of a price after the commission."""

    merchant: Text
    share_ppm: Annotated[int, Field(gt=0, le=PARTS_PER_MILLION)]


class CreateItem(Body):
    """An article has ``content_html``, a file ``file_path``, what the site holds ``open_url``."""

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
    """A path in the site's own folder, which is the one in the files folder named by its id."""
    open_url: Text | None = None
    """Where the site opens what it holds itself, on one of its origins."""
    url: Text | None = None
    """The page that sells it, on one of the site's origins."""
    archived: bool | None = None
    """True takes it off sale, false puts it back, null leaves it; what was bought stays."""
    splits: Annotated[list[Split], Field(max_length=MAX_CO_AUTHORS)] | None = None
    """Co-authors; an empty list is none, null leaves those that there are."""


class SplitView(BaseModel):
    """A co-author's share."""

    merchant: str
    name: str
    share_ppm: int


class SiteItemView(ItemView):
    """An item with what is its site's business only."""

    url: str | None
    splits: list[SplitView]


def site_item_view(item: Item, authors: list[CoAuthor]) -> SiteItemView:
    """Return the view of an item for its own site."""
    splits = [
        SplitView(merchant=author.merchant_id, name=author.name, share_ppm=author.share_ppm)
        for author in authors
    ]
    public = item_view(deps(), session(), item).model_dump()
    return SiteItemView(**{**public, "url": item.url, "splits": splits})


def create_item() -> Response:
    """Create the item, or change the one with the same external id."""
    site = require_site("items:write")
    body = read_json(CreateItem)
    new = _new_item(site, body)

    def produce() -> SiteItemView:
        item = add_item(deps(), session(), site, new)
        return site_item_view(item, list_splits(session(), [item.id])[item.id])

    text = once(
        deps(),
        session(),
        site.id,
        idempotency_key(),
        ["create_item", body.model_dump()],
        produce,
    )
    return json_answer(text, 201)


def _new_item(site: Site, body: CreateItem) -> NewItem:
    """Return what the service wants; raise SplitInvalid where a co-author is named twice."""
    shares = None
    if body.splits is not None:
        shares = {split.merchant: split.share_ppm for split in body.splits}
        if len(shares) < len(body.splits):
            raise errors.SplitInvalid("A co-author is named twice.")
    path = None if body.file_path is None else file_of_site(site, body.file_path)
    return NewItem(**{**body.model_dump(), "splits": shares, "file_path": path})


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/items",
        operation_id="create_item",
        summary="Price an article or a file",
        description=(
            "With an external_id that the site used before, the item is changed. A file lies in "
            "the folder that the server's operator keeps for the site: `st_…` in the files folder. "
            "What the site holds itself has an `open_url`: a form there is sent the grant (field "
            "`grant`), and the site checks it. Such an item keeps what was sold from here before, "
            "for those who have it; nothing of it is sold over L402."
        ),
        tag="items",
        request=CreateItem,
        response=SiteItemView,
        status=201,
        security="site",
        scope="items:write",
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.InvalidPrice,
            errors.UnknownCurrency,
            errors.FileMissing,
            errors.FilePathRefused,
            errors.SplitInvalid,
            errors.IdempotencyConflict,
            errors.StorageFull,
        ),
    ),
    create_item,
)
