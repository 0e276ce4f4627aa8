"""POST /v1/invoices: a reader wants to pay for an item."""

import json
from collections.abc import Callable

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, Text, idempotency_key, read_json
from bitcache_server.http.context import client_block, deps, page_origin, session
from bitcache_server.http.limits import INVOICES, SITE_INVOICES, check_limit
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, NODE_ERRORS, Route
from bitcache_server.models.sales import Invoice
from bitcache_server.services.create_invoice import InvoiceOrder, get_invoice
from bitcache_server.services.create_invoice import create_invoice as create
from bitcache_server.services.items import site_of
from bitcache_server.services.once import once
from bitcache_server.services.request_payment import ask_for_payment, asks_a_node
from bitcache_server.services.views import InvoiceView, invoice_view

PATH = "/v1/invoices"


class CreateInvoice(Body):
    """Which item, and the challenge whose verifier will collect the grant."""

    item: Text
    challenge: Text
    """base64url(sha256(verifier)) without padding, as PKCE's S256 (RFC 7636)."""
    rail: Text | None = None
    """Ask for a payment request over this rail at once, or over all on offer: ``any``."""


class _Made(BaseModel):
    """What is remembered of an invoice that a node is asked about after it is stored."""

    id: str


def key_owner(block: str) -> str:
    """Return whose a key is: the caller's own, so that two who pick the same never meet."""
    return f"reader:{block}"


def key_request(body: CreateInvoice) -> list[object]:
    """Return what a key's second call must ask for, too."""
    return ["create_invoice", body.model_dump()]


def create_invoice() -> Response:
    """Create an invoice."""
    body = read_json(CreateInvoice)
    check_limit(INVOICES)
    check_limit(SITE_INVOICES, site_of(deps(), session(), body.item))
    order = InvoiceOrder(body.item, body.challenge, body.rail, page_origin())
    if body.rail is None or not asks_a_node(deps(), body.rail):
        text = _create(body, order, lambda made: invoice_view(deps(), session(), made))
        return json_answer(text, 201)
    text = _create(body, order, lambda made: _Made(id=made.id))
    # Asked now that no transaction is open. The same key asks for the same invoice again,
    # so that who lost the answer is not given another one to pay.
    invoice_id = str(json.loads(text)["id"])
    ask_for_payment(deps(), session(), invoice_id, body.rail)
    return json_answer(invoice_view(deps(), session(), get_invoice(session(), invoice_id)), 201)


def _create(body: CreateInvoice, order: InvoiceOrder, show: Callable[[Invoice], BaseModel]) -> str:
    return once(
        deps(),
        session(),
        key_owner(client_block()),
        idempotency_key(),
        key_request(body),
        lambda: show(create(deps(), session(), order)),
    )


ROUTE = Route(
    Endpoint(
        method="POST",
        path=PATH,
        operation_id="create_invoice",
        summary="Create an invoice",
        description=(
            "The amount is fixed now. Keep the verifier: it alone collects the grant, and "
            "together with the invoice id it is the reader's receipt code. Over Lightning the "
            "node makes its invoice now, and only when a rail is named; until then an invoice "
            "costs it nothing."
        ),
        tag="invoices",
        request=CreateInvoice,
        response=InvoiceView,
        status=201,
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.UnknownItem,
            errors.ItemArchived,
            errors.OriginNotAllowed,
            errors.InvalidPrice,
            errors.FileMissing,
            errors.FilePathRefused,
            errors.RateUnavailable,
            errors.AmountBelowFloor,
            errors.RailUnavailable,
            errors.UnknownRail,
            errors.AddressesExhausted,
            *NODE_ERRORS,
            errors.IdempotencyConflict,
            errors.StorageFull,
        ),
    ),
    create_invoice,
)
