"""POST /v1/refunds: a merchant gives a purchase back."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, Text, idempotency_key, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.once import once
from bitcache_server.services.refund import refund_by_merchant


class CreateRefund(Body):
    """Whose purchase of which item is given back."""

    holder: Text
    """The reader as the statement and grants name them (``ho_…``), or an invoice."""
    item: Text


class RefundView(BaseModel):
    """A purchase that was given back."""

    id: str
    holder: str
    item: str
    amount_msat: int
    created_at: int


def create_refund() -> Response:
    """Give the full price back and end the grant."""
    site = require_site("refunds:write")
    body = read_json(CreateRefund)

    def produce() -> RefundView:
        made = refund_by_merchant(deps(), session(), site, body.holder, body.item)
        return RefundView(
            id=made.id,
            holder=body.holder,
            item=made.item_id,
            amount_msat=made.amount_msat,
            created_at=made.created_at,
        )

    request = ["create_refund", body.model_dump()]
    text = once(deps(), session(), site.id, idempotency_key(), request, produce)
    return json_answer(text, 201)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/refunds",
        operation_id="create_refund",
        summary="Give a purchase back",
        description=(
            "At any time, in full, the operator's commission included. What was bought from a "
            "balance goes back there; what was paid by invoice becomes its payer's credit. "
            "Money that was paid into the merchant's own wallet is the merchant's to send back."
        ),
        tag="merchants",
        request=CreateRefund,
        response=RefundView,
        status=201,
        security="site",
        scope="refunds:write",
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.UnknownItem,
            errors.UnknownPurchase,
            errors.AlreadyRefunded,
            errors.RefundNotOffered,
            errors.MerchantBalanceTooLow,
            errors.IdempotencyConflict,
            errors.StorageFull,
        ),
    ),
    create_refund,
)
