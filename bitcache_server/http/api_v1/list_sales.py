"""GET /v1/sales: what a site sold, newest first."""

from typing import Annotated, Literal

from flask import Response
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, Text, read_query
from bitcache_server.http.context import session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.sale_views import SaleView, sale_view
from bitcache_server.services.sales_list import SaleFilter
from bitcache_server.services.sales_list import list_sales as list_of_sales

Name = Annotated[Text, Field(max_length=200)]
Time = Annotated[int, Field(ge=0, lt=2**62)]


class SalesQuery(PageQuery):
    """Which sales, and where the list goes on."""

    since: Time | None = None
    """Unix seconds; sales from then on."""
    until: Time | None = None
    """Unix seconds; sales of before."""
    item: Name = ""
    rail: Name = ""
    state: Literal["", "paid", "refunded", "reversed"] = ""
    buyer: Name = ""
    """An invoice, or a reader by the name that grants have."""


class SalePage(BaseModel):
    """Some sales and the cursor of the next ones; null at the end."""

    sales: list[SaleView]
    next_cursor: str | None


def list_sales() -> Response:
    """Return a page of the site's sales."""
    site = require_site("sales:read")
    query = read_query(SalesQuery)
    wanted = SaleFilter(
        since=query.since,
        until=query.until,
        site_id=site.id,
        item_id=query.item,
        kind="sale",
        rail=query.rail,
        state=query.state,
        buyer=query.buyer,
    )
    page = list_of_sales(session(), site.merchant_id, wanted, query.cursor, query.limit)
    views = [sale_view(sale) for sale in page.rows]
    return json_answer(SalePage(sales=views, next_cursor=page.next_cursor))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/sales",
        operation_id="list_sales",
        summary="List the site's sales",
        description=(
            "Newest first; follow next_cursor until it is null. A sale appears within a few "
            "seconds of its payment. Co-authors' shares of other merchants' sales and what was "
            "sent to the Lightning address belong to no site; the dashboard has them."
        ),
        tag="merchants",
        response=SalePage,
        query=SalesQuery,
        security="site",
        scope="sales:read",
        errors=(errors.InvalidRequest,),
    ),
    list_sales,
)
