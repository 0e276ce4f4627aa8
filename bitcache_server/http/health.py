"""GET /health: which part is ill, for load balancers and people."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.health import Part, check_parts


class HealthView(BaseModel):
    """``ok`` is false when a vital part is ill: readers cannot pay or read now."""

    ok: bool
    parts: list[Part]


def health() -> Response:
    """Return 503 while a vital part is ill, otherwise 200; and how each part is."""
    parts = check_parts(deps(), session())
    ok = all(part.ok for part in parts if part.vital)
    return json_answer(HealthView(ok=ok, parts=parts), 200 if ok else 503)


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/health",
        operation_id="health",
        summary="Health of the server's parts",
        description="Answers 503 when a vital part is ill; the body has the same form.",
        tag="meta",
        response=HealthView,
        also_status=(503,),
    ),
    health,
)
