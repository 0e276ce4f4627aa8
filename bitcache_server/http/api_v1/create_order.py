"""POST /v1/orders: a shop wants to be paid for an order."""

from typing import Annotated

from flask import Response
from pydantic import Field

from bitcache_server.domain import errors
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import Body, Text, idempotency_key, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.once import once
from bitcache_server.services.order_lines import MAX_LINES, MAX_QUANTITY, MAX_UNIT_MINOR, Line
from bitcache_server.services.order_views import OrderView, order_view
from bitcache_server.services.orders import (
    MAX_LIFETIME_S,
    MAX_METADATA_KEYS,
    MIN_LIFETIME_S,
    NewOrder,
)
from bitcache_server.services.orders import create_order as add_order


class OrderLine(Body):
    """One line; the price is what the customer pays, the tax in it."""

    title: Text
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)] = 1
    unit_minor: Annotated[int, Field(ge=-MAX_UNIT_MINOR, le=MAX_UNIT_MINOR)]
    """Minor units of the currency (cents; yen, which have none), or sats; less than 0 for a
    discount."""
    tax_ppm: Annotated[int, Field(ge=0, le=PARTS_PER_MILLION)] | None = None
    """The rate of the tax that is in the price, in parts per million: 190000 is 19 %. Null is
    the site's own rate, and no tax where it has none."""


class CreateOrder(Body):
    """What is ordered. With a reference that was used before, the content must be the same."""

    reference: Text
    """The shop's own number of the order, 1 to 100 characters, unique for the site."""
    currency: Text
    """An ISO 4217 code, or SAT."""
    lines: Annotated[list[OrderLine], Field(min_length=1, max_length=MAX_LINES)]
    total_minor: int
    """The sum of the lines: a shop that counts in another way is told so."""
    customer_ref: Text | None = None
    """Who bought, in the shop's own words; the checkout does not show it."""
    metadata: Annotated[dict[Text, Text], Field(max_length=MAX_METADATA_KEYS)] = Field({})
    """At most 20 names, and 500 characters for each; the checkout does not show them."""
    return_url: Text | None = None
    """Where the customer goes back to, on one of the site's origins."""
    cancel_url: Text | None = None
    """The same for who does not want to pay."""
    expires_in_s: Annotated[int, Field(ge=MIN_LIFETIME_S, le=MAX_LIFETIME_S)] | None = None
    """How long it can be paid; null is the server's own time."""


def create_order() -> Response:
    """Create the order, or return the same one."""
    site = require_site("orders:write")
    body = read_json(CreateOrder)
    values = body.model_dump()
    lifetime_s = values.pop("expires_in_s")
    lines = [Line(**line) for line in values.pop("lines")]
    new = NewOrder(**values, lines=lines, lifetime_s=lifetime_s)

    def produce() -> OrderView:
        return order_view(deps(), add_order(deps(), session(), site, new))

    request = ["create_order", body.model_dump()]
    text = once(deps(), session(), site.id, idempotency_key(), request, produce)
    return json_answer(text, 201)


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/orders",
        operation_id="create_order",
        summary="Create an order",
        description=(
            "Send the customer to its checkout_url. It is sold once: the first payment that "
            "covers it pays it, and every other one stays its payer's. The same reference with "
            "the same content returns the same order."
        ),
        tag="orders",
        request=CreateOrder,
        response=OrderView,
        status=201,
        security="site",
        scope="orders:write",
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.InvalidPrice,
            errors.UnknownCurrency,
            errors.ReturnUrlRefused,
            errors.IdempotencyConflict,
            errors.StorageFull,
        ),
    ),
    create_order,
)
