"""GET /v1/payouts: what was paid out to the site's merchant, newest first."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, read_query
from bitcache_server.http.context import session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.payout_views import PayoutView, list_site_payouts, payout_view


class PayoutPage(BaseModel):
    """Some payouts and the cursor of the next ones; null at the end."""

    payouts: list[PayoutView]
    next_cursor: str | None


def list_payouts() -> Response:
    """Return a page of the payouts of the site's merchant."""
    site = require_site("payouts:read")
    query = read_query(PageQuery)
    page = list_site_payouts(session(), site, query.cursor, query.limit)
    views = [payout_view(session(), payout) for payout in page.rows]
    return json_answer(PayoutPage(payouts=views, next_cursor=page.next_cursor))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/payouts",
        operation_id="list_payouts",
        summary="List the merchant's payouts",
        description="Newest first; follow next_cursor until it is null.",
        tag="payouts",
        response=PayoutPage,
        query=PageQuery,
        security="site",
        scope="payouts:read",
        errors=(errors.InvalidRequest,),
    ),
    list_payouts,
)
