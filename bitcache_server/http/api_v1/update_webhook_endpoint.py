"""POST /v1/webhook-endpoints/{endpoint_id}: change, pause or switch on an endpoint."""

from typing import Annotated

from flask import Response
from pydantic import Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.models.session import write_transaction
from bitcache_server.services.webhook_endpoints import Change, by_site, change_endpoint
from bitcache_server.services.webhook_views import EndpointView, endpoint_view


class UpdateWebhookEndpoint(Body):
    """What is to be another way; null leaves it."""

    url: Text | None = None
    description: Text | None = None
    event_types: Annotated[list[Text], Field(min_length=1, max_length=50)] | None = None
    enabled: bool | None = None
    """Switched on again, it gets what waits for it; replay what happened meanwhile."""


def update_webhook_endpoint(endpoint_id: str) -> Response:
    """Change what the body names."""
    by = by_site(require_site("webhooks:write"))
    body = read_json(UpdateWebhookEndpoint)
    change = Change(body.url, body.description, body.event_types, body.enabled)
    with write_transaction(session()):
        changed = change_endpoint(deps(), session(), by, endpoint_id, change)
        view = endpoint_view(changed, deps().clock())
    return json_answer(view)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}",
        operation_id="update_webhook_endpoint",
        summary="Change a webhook endpoint",
        description="Members that are left out stay as they are.",
        tag="webhooks",
        request=UpdateWebhookEndpoint,
        response=EndpointView,
        security="site",
        scope="webhooks:write",
        errors=(
            *BODY_ERRORS,
            errors.UnknownEndpoint,
            errors.WebhookUrlRefused,
            errors.StorageFull,
        ),
    ),
    update_webhook_endpoint,
)
