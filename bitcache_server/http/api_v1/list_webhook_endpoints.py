"""GET /v1/webhook-endpoints: where the merchant's events go, as the site has set it."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.webhook_endpoints import list_endpoints
from bitcache_server.services.webhook_views import EndpointView, endpoint_view


class EndpointList(BaseModel):
    """All endpoints, oldest first: there are few."""

    endpoints: list[EndpointView]


def list_webhook_endpoints() -> Response:
    """Return the endpoints that the site has added."""
    site, now = require_site("webhooks:read"), deps().clock()
    found = list_endpoints(session(), site.merchant_id, site.id)
    return json_answer(EndpointList(endpoints=[endpoint_view(one, now) for one in found]))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/webhook-endpoints",
        operation_id="list_webhook_endpoints",
        summary="List the site's webhook endpoints",
        description=(
            "Without their secrets, which are shown once. A site sees and changes those that it "
            "has added; the dashboard has all of the merchant's."
        ),
        tag="webhooks",
        response=EndpointList,
        security="site",
        scope="webhooks:read",
    ),
    list_webhook_endpoints,
)
