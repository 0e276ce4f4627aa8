"""POST /v1/webhook-endpoints/{endpoint_id}/replay: send one event or those of a time again."""

from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import REPLAYS, check_limit
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.models.session import write_transaction
from bitcache_server.services.webhook_endpoints import By, by_site
from bitcache_server.services.webhook_replays import Replayed, Span, replay_event, replay_range

#: Unix seconds that both databases can keep.
Moment = Annotated[int, Field(ge=0, lt=2**40)]


class ReplayEvents(Body):
    """Either ``event``, or ``since`` with or without the others."""

    event: Text | None = None
    since: Moment | None = None
    until: Moment | None = None
    """Included; null is now."""
    delivered_too: bool = False
    """Also those that arrived before; else what did not, or was never sent."""


class ReplayedView(BaseModel):
    """How much is on its way again."""

    count: int
    next_since: int | None
    """From when another call goes on, after 10,000 events; null at the end."""


def replay_events(endpoint_id: str) -> Response:
    """Let events go once more; receivers know them again by their id."""
    by = by_site(require_site("webhooks:write"))
    check_limit(REPLAYS, by.merchant_id)
    body = read_json(ReplayEvents)
    if (body.event is None) == (body.since is None):
        raise errors.InvalidRequest("Give either `event` or `since`.")
    with write_transaction(session()):
        done = _replay(by, endpoint_id, body)
    return json_answer(ReplayedView(count=done.count, next_since=done.next_since), 202)


def _replay(by: By, endpoint_id: str, body: ReplayEvents) -> Replayed:
    if body.event is not None:
        replay_event(deps(), session(), by, endpoint_id, body.event)
        return Replayed(1, None)
    until = deps().clock() if body.until is None else body.until
    span = Span(body.since or 0, until, body.delivered_too)
    return replay_range(deps(), session(), by, endpoint_id, span)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/replay",
        operation_id="replay_events",
        summary="Send events again",
        description="Of those that the server still keeps, and that the endpoint wants.",
        tag="webhooks",
        request=ReplayEvents,
        response=ReplayedView,
        status=202,
        security="site",
        scope="webhooks:write",
        errors=(
            *BODY_ERRORS,
            errors.UnknownEndpoint,
            errors.UnknownEvent,
            errors.StorageFull,
        ),
    ),
    replay_events,
)
