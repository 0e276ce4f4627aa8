"""GET /openapi.json: the API described, generated from the routes themselves."""

import json
from collections.abc import Sequence
from dataclasses import replace

from flask import Response

from bitcache_server import __version__
from bitcache_server.domain import errors
from bitcache_server.http import events
from bitcache_server.http.context import deps
from bitcache_server.http.errors import status_of
from bitcache_server.http.openapi import Endpoint, build_document
from bitcache_server.http.routing import Route
from bitcache_server.http.webhook_docs import with_webhooks

TITLE = "Bitcache"
#: Errors that any endpoint can answer with, whatever it does.
COMMON_ERRORS: tuple[type[errors.BitcacheError], ...] = (
    errors.BitcacheError,
    errors.NotFound,
    errors.RateLimited,
    errors.OriginNotAllowed,
    errors.StorageBusy,
    errors.StorageUnavailable,
)


def document_route(routes: Sequence[Route]) -> Route:
    """Return the route that serves the document of the given routes."""

    def openapi() -> Response:
        waiting = replace(events.ENDPOINT, server_url=deps().settings.events_url)
        document = build_document(
            [*(route.endpoint for route in routes), waiting],
            status_of=status_of,
            title=TITLE,
            version=__version__,
            server_url=deps().settings.public_url,
            common_errors=COMMON_ERRORS,
        )
        return Response(
            json.dumps(with_webhooks(document), indent=1),
            headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=300"},
            content_type="application/json",
        )

    return Route(
        Endpoint(
            method="GET",
            path="/openapi.json",
            operation_id="openapi",
            summary="This document",
            description="OpenAPI 3.1.",
            tag="meta",
        ),
        openapi,
    )
