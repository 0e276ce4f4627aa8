"""GET /v1/events: what happened, newest first."""

from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, Text, read_query
from bitcache_server.http.context import session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services import webhook_views
from bitcache_server.services.webhook_views import EventView, event_view


class EventQuery(PageQuery):
    """Which events."""

    type: Annotated[Text, Field(max_length=32)] | None = None


class EventPage(BaseModel):
    """Some events and the cursor of the next ones; null at the end."""

    events: list[EventView]
    next_cursor: str | None


def list_events() -> Response:
    """Return a page of the events of the site's merchant."""
    merchant_id = require_site("webhooks:read").merchant_id
    query = read_query(EventQuery)
    events, cursor = webhook_views.list_events(
        session(), merchant_id, query.type, query.cursor, query.limit
    )
    views = [event_view(event) for event in events]
    return json_answer(EventPage(events=views, next_cursor=cursor))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/events",
        operation_id="list_events",
        summary="List what happened",
        description=(
            "Newest first; follow next_cursor until it is null. There are events from when the "
            "merchant has an endpoint that wants them."
        ),
        tag="webhooks",
        response=EventPage,
        query=EventQuery,
        security="site",
        scope="webhooks:read",
        errors=(errors.InvalidRequest,),
    ),
    list_events,
)
