"""POST /v1/webhook-endpoints: tell the merchant's server what happens."""

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
from bitcache_server.services.webhook_endpoints import add_endpoint, by_site
from bitcache_server.services.webhook_views import NewEndpointView, new_endpoint_view


class CreateWebhookEndpoint(Body):
    """Where events go."""

    url: Text
    """An https address. Its name is looked up at each delivery, and must be public."""
    description: Text = ""
    event_types: Annotated[list[Text], Field(min_length=1, max_length=50)]
    """Names as under ``webhooks`` of this document; ``*`` is all that there are and will be."""


def create_webhook_endpoint() -> Response:
    """Add an endpoint; the answer has its secret, this once."""
    by = by_site(require_site("webhooks:write"))
    body = read_json(CreateWebhookEndpoint)
    with write_transaction(session()):
        new = add_endpoint(deps(), session(), by, body.url, body.description, body.event_types)
        view = new_endpoint_view(new.endpoint, new.secret, deps().clock())
    return json_answer(view, 201)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/webhook-endpoints",
        operation_id="create_webhook_endpoint",
        summary="Add a webhook endpoint",
        description=(
            "Signed by the Standard Webhooks specification. The secret is shown only now: it is "
            "kept sealed, and so an idempotency key is not taken."
        ),
        tag="webhooks",
        request=CreateWebhookEndpoint,
        response=NewEndpointView,
        status=201,
        security="site",
        scope="webhooks:write",
        errors=(*BODY_ERRORS, errors.WebhookUrlRefused, errors.StorageFull),
    ),
    create_webhook_endpoint,
)
