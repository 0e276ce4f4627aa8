"""GET /v1/grant: what a grant says, if it still opens."""

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
    """An invoice, or a reader by the name that this merchant knows them by."""
    price_msat: int
    issued_at: int
    expires_at: int | None
    revision: int


def read_grant() -> Response:
    """Return what the grant says when its signature and time are good and it was not taken."""
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
        description=(
            "The signature and the time. A grant that was bought from a balance (its holder "
            "begins with ho_) is refused within 5 seconds once it was undone or given back; "
            "that an invoice's grant was taken back is seen where it is used."
        ),
        tag="grants",
        response=GrantView,
        security="grant",
        errors=(errors.GrantInvalid, errors.GrantExpired, errors.GrantRevoked),
    ),
    read_grant,
)
