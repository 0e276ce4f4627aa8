"""POST /v1/invoices/{invoice_id}/redeem: use money that came late or short."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.api_v1.claim_grant import ClaimGrant, GrantAnswer, grant_answer
from bitcache_server.http.body import read_json
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.collect import redeem_credit as redeem
from bitcache_server.services.create_invoice import check_origin, get_invoice
from bitcache_server.services.once import once


def redeem_credit(invoice_id: str) -> Response:
    """Buy the invoice's item from its credit; safe to repeat."""
    body = read_json(ClaimGrant)

    def produce() -> GrantAnswer:
        invoice = get_invoice(session(), invoice_id)
        check_origin(deps(), session(), invoice.site_id, page_origin())
        return grant_answer(redeem(deps(), session(), invoice_id, body.verifier))

    return json_answer(once(deps(), session(), invoice_id, None, None, produce))


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/invoices/{invoice_id}/redeem",
        operation_id="redeem_credit",
        summary="Buy the item from the invoice's credit",
        description="Late, short or surplus money is kept; at today's price it buys the item.",
        tag="grants",
        request=ClaimGrant,
        response=GrantAnswer,
        errors=(
            *BODY_ERRORS,
            errors.UnknownInvoice,
            errors.OriginNotAllowed,
            errors.VerifierMismatch,
            errors.NoCredit,
            errors.InvalidPrice,
            errors.RateUnavailable,
            errors.StorageFull,
        ),
    ),
    redeem_credit,
)
