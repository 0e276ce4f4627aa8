"""POST /v1/invoices/{invoice_id}/requests: the payer asks for an address or an invoice."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.limits import INVOICES
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, NODE_ERRORS, Route
from bitcache_server.services.create_invoice import check_origin, get_invoice
from bitcache_server.services.request_payment import ask_for_payment
from bitcache_server.services.views import InvoiceView, invoice_view


class RequestPayment(Body):
    """Over which rail the payer wants to pay."""

    rail: Text
    """``any`` asks for all on offer; one that fails is then left out."""


def request_payment(invoice_id: str) -> Response:
    """Give the invoice a payment request; asking again changes nothing."""
    body = read_json(RequestPayment)
    invoice = get_invoice(session(), invoice_id)
    check_origin(deps(), session(), invoice.site_id, page_origin())
    ask_for_payment(deps(), session(), invoice_id, body.rail)
    return json_answer(invoice_view(deps(), session(), get_invoice(session(), invoice_id)))


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/invoices/{invoice_id}/requests",
        operation_id="request_payment",
        summary="Ask how to pay",
        description=(
            "An address is derived only now, and a node makes its Lightning invoice only now. "
            "Repeating the call gives the same ones."
        ),
        tag="invoices",
        request=RequestPayment,
        response=InvoiceView,
        errors=(
            *BODY_ERRORS,
            errors.UnknownInvoice,
            errors.OriginNotAllowed,
            errors.InvoiceClosed,
            errors.AmountBelowFloor,
            errors.RailUnavailable,
            errors.UnknownRail,
            errors.AddressesExhausted,
            *NODE_ERRORS,
            errors.StorageFull,
        ),
    ),
    request_payment,
    limit=INVOICES,
)
