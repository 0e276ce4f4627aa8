"""GET /v1/invoices: what a site sold and did not sell, newest first."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, read_query
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.create_invoice import list_invoices as list_of_invoices
from bitcache_server.services.views import InvoiceView, invoice_view


class InvoicePage(BaseModel):
    """Some invoices and the cursor of the next ones; null at the end."""

    invoices: list[InvoiceView]
    next_cursor: str | None


def list_invoices() -> Response:
    """Return a page of the site's invoices."""
    site = require_site("invoices:read")
    query = read_query(PageQuery)
    page = list_of_invoices(session(), site, query.cursor, query.limit)
    views = [invoice_view(deps(), session(), invoice) for invoice in page.rows]
    return json_answer(InvoicePage(invoices=views, next_cursor=page.next_cursor))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/invoices",
        operation_id="list_invoices",
        summary="List the site's invoices",
        description="Newest first; follow next_cursor until it is null.",
        tag="invoices",
        response=InvoicePage,
        query=PageQuery,
        security="site",
        scope="invoices:read",
        errors=(errors.InvalidRequest,),
    ),
    list_invoices,
)
