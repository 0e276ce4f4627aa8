"""POST /v1/webhook-endpoints/{endpoint_id}/delete: no more events go there."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.models.session import write_transaction
from bitcache_server.services.webhook_endpoints import by_site, delete_endpoint


class DeleteWebhookEndpoint(Body):
    """An empty object."""


def delete_webhook_endpoint(endpoint_id: str) -> Response:
    """Delete the endpoint and its secrets."""
    by = by_site(require_site("webhooks:write"))
    read_json(DeleteWebhookEndpoint)
    with write_transaction(session()):
        delete_endpoint(deps(), session(), by, endpoint_id)
    return Response(status=204, headers={"Cache-Control": "no-store"})


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/delete",
        operation_id="delete_webhook_endpoint",
        summary="Delete a webhook endpoint",
        description="What waits for it is not sent any more.",
        tag="webhooks",
        request=DeleteWebhookEndpoint,
        status=204,
        security="site",
        scope="webhooks:write",
        errors=(*BODY_ERRORS, errors.UnknownEndpoint, errors.StorageFull),
    ),
    delete_webhook_endpoint,
)
