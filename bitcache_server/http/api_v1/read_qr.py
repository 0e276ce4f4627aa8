"""GET /v1/invoices/{invoice_id}/qr.svg and qr.png: the code that a phone scans."""

from typing import Annotated

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from bitcache_server.domain import errors
from bitcache_server.http.body import read_query
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.qr import qr_png, qr_svg
from bitcache_server.http.routing import Route
from bitcache_server.services.invoices import find_invoice
from bitcache_server.services.request_views import UNIFIED, request_views, unified_view


class QrQuery(BaseModel):
    """``rail`` may be ``unified``; without it the best code is drawn.

    ``sat`` is there so that a changed amount is another address for caches.
    """

    model_config = ConfigDict(extra="forbid")

    rail: Annotated[str, Field(max_length=16)] | None = None
    sat: Annotated[int, Field(ge=0)] | None = None


def _uri(invoice_id: str) -> str:
    query = read_query(QrQuery)
    invoice = find_invoice(session(), invoice_id)
    requests = request_views(deps(), session(), invoice)
    unified = unified_view(deps(), invoice, requests)
    if unified is not None and query.rail in (None, UNIFIED):
        return unified.qr_uri
    for request in requests:
        if query.rail in (None, request.rail):
            return request.qr_uri
    raise errors.NotFound("The invoice has no payment request over this rail yet.")


def _picture(content: bytes, media_type: str) -> Response:
    return Response(
        content,
        headers={
            "Cache-Control": "no-store",
            # The picture is shown by pages of other origins.
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Content-Security-Policy": "default-src 'none'",
        },
        content_type=media_type,
    )


def read_qr_svg(invoice_id: str) -> Response:
    """Return the code as SVG."""
    return _picture(qr_svg(_uri(invoice_id)), "image/svg+xml")


def read_qr_png(invoice_id: str) -> Response:
    """Return the code as PNG."""
    return _picture(qr_png(_uri(invoice_id)), "image/png")


def _endpoint(suffix: str, media_type: str) -> Endpoint:
    return Endpoint(
        method="GET",
        path=f"/v1/invoices/{{invoice_id}}/qr.{suffix}",
        operation_id=f"read_qr_{suffix}",
        summary=f"Read the QR code as {suffix.upper()}",
        description=(
            "A BIP 21 address with the amount, a Lightning invoice, or both in one code; in "
            "capitals where that makes it smaller."
        ),
        tag="invoices",
        query=QrQuery,
        media_type=media_type,
        errors=(errors.InvalidRequest, errors.NotFound, errors.UnknownInvoice),
    )


SVG_ROUTE = Route(_endpoint("svg", "image/svg+xml"), read_qr_svg)
PNG_ROUTE = Route(_endpoint("png", "image/png"), read_qr_png)
