"""GET /v1/grant: what a grant says, checked offline."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import bearer_token
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.deliver import check_grant


class GrantView(BaseModel):
    """The claims of a valid grant."""

    site: str
    item: str
    holder: str
    price_msat: int
    issued_at: int
    expires_at: int | None
    revision: int


def read_grant() -> Response:
    """Return what the grant says when its signature and time are good."""
    claims = check_grant(deps(), session(), bearer_token())
    view = GrantView(
        site=claims.site,
        item=claims.item,
        holder=claims.holder,
        price_msat=claims.price_msat,
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        revision=claims.revision,
    )
    return json_answer(view)


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/grant",
        operation_id="read_grant",
        summary="Check a grant",
        description="Offline: the signature and the time. Revocation is seen where it is used.",
        tag="grants",
        response=GrantView,
        security="grant",
        errors=(errors.GrantInvalid, errors.GrantExpired),
    ),
    read_grant,
)
