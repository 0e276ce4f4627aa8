"""POST /v1/webhook-endpoints/{endpoint_id}/rotate: another secret, with an overlap."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.models.session import write_transaction
from bitcache_server.services.webhook_endpoints import by_site, rotate_secret
from bitcache_server.services.webhook_views import NewEndpointView, new_endpoint_view


class RotateWebhookSecret(Body):
    """An empty object."""


def rotate_webhook_secret(endpoint_id: str) -> Response:
    """Make a secret; the answer has it, this once."""
    by = by_site(require_site("webhooks:write"))
    read_json(RotateWebhookSecret)
    with write_transaction(session()):
        new = rotate_secret(deps(), session(), by, endpoint_id)
        view = new_endpoint_view(new.endpoint, new.secret, deps().clock())
    return json_answer(view)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/rotate",
        operation_id="rotate_webhook_secret",
        summary="Give a webhook endpoint a new secret",
        description="For 24 hours both sign, so that no event is refused while it is changed.",
        tag="webhooks",
        request=RotateWebhookSecret,
        response=NewEndpointView,
        security="site",
        scope="webhooks:write",
        errors=(*BODY_ERRORS, errors.UnknownEndpoint, errors.StorageFull),
    ),
    rotate_webhook_secret,
)
