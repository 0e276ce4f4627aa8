"""POST /v1/invoices/{invoice_id}/claim: show the verifier, get the grant."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.collect import Collected
from bitcache_server.services.collect import claim_grant as claim
from bitcache_server.services.create_invoice import check_origin, get_invoice


class ClaimGrant(Body):
    """The secret whose hash was the invoice's challenge."""

    verifier: Text


class GrantAnswer(BaseModel):
    """A grant opens the item; a receipt proves the purchase and opens nothing."""

    grant: str
    receipt: str
    item: str
    expires_at: int | None


def grant_answer(collected: Collected) -> GrantAnswer:
    """Return the answer that carries a grant."""
    return GrantAnswer(
        grant=collected.grant,
        receipt=collected.receipt,
        item=collected.item_id,
        expires_at=collected.expires_at,
    )


def claim_grant(invoice_id: str) -> Response:
    """Return the grant of a paid invoice; safe to repeat."""
    body = read_json(ClaimGrant)
    invoice = get_invoice(session(), invoice_id)
    check_origin(deps(), session(), invoice.site_id, page_origin())
    return json_answer(grant_answer(claim(deps(), session(), invoice_id, body.verifier)))


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/invoices/{invoice_id}/claim",
        operation_id="claim_grant",
        summary="Collect the grant of a paid invoice",
        description="May be repeated, also from another device that knows the verifier.",
        tag="grants",
        request=ClaimGrant,
        response=GrantAnswer,
        errors=(
            *BODY_ERRORS,
            errors.UnknownInvoice,
            errors.OriginNotAllowed,
            errors.VerifierMismatch,
            errors.InvoiceNotPaid,
        ),
    ),
    claim_grant,
)
