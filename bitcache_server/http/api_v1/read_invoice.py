"""GET /v1/invoices/{invoice_id}: the state of an invoice, for those who poll."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.create_invoice import check_origin, get_invoice
from bitcache_server.services.views import InvoiceView, invoice_view


def read_invoice(invoice_id: str) -> Response:
    """Return the invoice."""
    invoice = get_invoice(session(), invoice_id)
    check_origin(deps(), session(), invoice.site_id, page_origin())
    return json_answer(invoice_view(deps(), session(), invoice))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/invoices/{invoice_id}",
        operation_id="read_invoice",
        summary="Read an invoice",
        description="State, payments and what is missing. The id is public and opens nothing.",
        tag="invoices",
        response=InvoiceView,
        errors=(errors.UnknownInvoice, errors.OriginNotAllowed),
    ),
    read_invoice,
)
