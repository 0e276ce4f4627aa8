"""POST /v1/webhook-endpoints/{endpoint_id}/test: see whether it arrives."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import REPLAYS, check_limit
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.models.session import write_transaction
from bitcache_server.services.webhook_endpoints import by_site
from bitcache_server.services.webhook_replays import send_test
from bitcache_server.services.webhook_views import get_delivery


class SendTestEvent(Body):
    """An empty object."""


class SentView(BaseModel):
    """What is on its way."""

    event: str
    """Its id, which the receiver sees as ``webhook-id``."""


def send_test_event(endpoint_id: str) -> Response:
    """Put an event of type ``test`` into the outbox, for this endpoint alone."""
    by = by_site(require_site("webhooks:write"))
    check_limit(REPLAYS, by.merchant_id)
    read_json(SendTestEvent)
    with write_transaction(session()):
        delivery_id = send_test(deps(), session(), by, endpoint_id)
        line = get_delivery(session(), by.merchant_id, str(delivery_id))
    return json_answer(SentView(event=line.event_id), 202)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/test",
        operation_id="send_test_event",
        summary="Send a test event",
        description="Of type `test`, to this endpoint whatever it chose; the jobs send it.",
        tag="webhooks",
        request=SendTestEvent,
        response=SentView,
        status=202,
        security="site",
        scope="webhooks:write",
        errors=(*BODY_ERRORS, errors.UnknownEndpoint, errors.StorageFull),
    ),
    send_test_event,
)
