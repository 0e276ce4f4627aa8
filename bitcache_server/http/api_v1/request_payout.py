"""POST /v1/payouts: the merchant's balance leaves for the address that the operator stored."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, idempotency_key, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.merchant_payouts import request_merchant_payout
from bitcache_server.services.payout_views import PayoutView, payout_view


class RequestPayout(Body):
    """An empty object: all that can go now is paid, and the site cannot say where."""


def request_payout() -> Response:
    """Reserve the payout; the jobs send it together with others."""
    merchant_id = require_site("payouts:write").merchant_id
    read_json(RequestPayout)
    payout = request_merchant_payout(
        deps(), session(), merchant_id, idempotency_key=idempotency_key()
    )
    return json_answer(payout_view(session(), payout), 201)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/payouts",
        operation_id="request_payout",
        summary="Pay the merchant's balance out",
        description="To the address that the operator stored; the merchant pays the network.",
        tag="payouts",
        request=RequestPayout,
        response=PayoutView,
        status=201,
        security="site",
        scope="payouts:write",
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.PayoutAddressMissing,
            errors.MerchantBalanceTooLow,
            errors.PayoutLimit,
            errors.PayoutsUnavailable,
            errors.AddressInvalid,
            errors.StorageFull,
        ),
    ),
    request_payout,
)
