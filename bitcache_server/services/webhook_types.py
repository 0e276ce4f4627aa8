"""The types of events that webhooks tell of, and the form of each one's data.

What receivers were promised: members are added, never taken away or given another meaning.
What cannot be said so gets another ``API_VERSION``. Documented in OpenAPI under ``webhooks``.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from bitcache_server.services.sale_views import SaleView

#: The form of the data; a date, because it only changes when a promise is broken.
API_VERSION = "2026-11-22"


class EventData(BaseModel):
    """What an event is about. Receivers ignore members that they do not know."""

    model_config = ConfigDict(extra="forbid")


class InvoiceData(EventData):
    """An invoice as it is now."""

    id: str
    state: str
    """``open``, ``seen``, ``paid`` or ``expired``."""
    marks: list[str]
    """``underpaid``, ``overpaid``, ``late``."""
    item: str | None
    site: str | None
    amount_msat: int
    """The price."""
    received_msat: int
    """What came in, also what does not count yet."""
    missing_msat: int
    credit_msat: int
    """What its payer can still use or take back."""
    price_currency: str
    price_amount: int
    """Minor units of the currency, or sats."""
    created_at: int
    paid_at: int | None


class OrderData(EventData):
    """An order as it is now. ``GET /v1/orders/{order_id}`` has its lines."""

    order: str
    site: str
    item: str
    """What its invoices sell."""
    reference: str
    state: str
    currency: str
    """An ISO 4217 code, or SAT."""
    total_minor: int
    """Minor units of the currency, or sats."""
    amount_msat: int | None
    """What was paid for it."""
    paid_at: int | None


class PayoutData(EventData):
    """Money on its way to the merchant."""

    id: str
    state: str
    rail: str
    destination: str
    amount_msat: int
    """What arrives."""
    fee_msat: int
    """What the network took at most; what it did not is back in the balance."""
    reference: str | None
    """The transaction id or payment hash; null where nothing was sent."""
    reason: str
    """Why it failed, in words."""
    created_at: int


class ItemData(EventData):
    """An item as it is now."""

    id: str
    site: str
    external_id: str | None
    kind: str
    title: str
    price_currency: str
    price_amount: int
    """Minor units of the currency, or sats."""
    access_hours: int | None
    url: str | None
    archived_at: int | None
    """Since when it is not sold any more."""


class TrialData(EventData):
    """Sent when somebody asks for it, to see whether it arrives."""

    id: str
    """The endpoint's."""
    message: str


EVENT_TYPES: dict[str, tuple[type[BaseModel], str]] = {
    "sale.created": (SaleView, "Something was sold."),
    "sale.refunded": (SaleView, "A sale was given back to its buyer."),
    "sale.reversed": (SaleView, "The payment of a sale vanished, and the sale with it."),
    "invoice.paid": (InvoiceData, "An invoice is paid."),
    "invoice.expired": (InvoiceData, "An invoice was not paid in time."),
    "invoice.underpaid": (InvoiceData, "Money came for an invoice, but not enough."),
    "invoice.credited": (InvoiceData, "Money came late or was too much; its payer can use it."),
    "order.created": (OrderData, "An order was placed."),
    "order.paid": (OrderData, "An order is paid."),
    "order.reopened": (OrderData, "The payment of an order vanished; it can be paid again."),
    "order.refunded": (OrderData, "An order was paid and given back."),
    "order.cancelled": (OrderData, "An order was cancelled."),
    "order.expired": (OrderData, "An order was not paid in time."),
    "payout.sent": (PayoutData, "A payout is final."),
    "payout.failed": (PayoutData, "A payout failed; its money is back in the balance."),
    "item.changed": (ItemData, "An item was added or changed."),
    "test": (TrialData, "Somebody wants to see whether this arrives."),
}


def payload_models() -> dict[str, tuple[type[BaseModel], str]]:
    """Return the form of the whole body of each type, and what it tells."""
    return {name: (_payload(name, model), words) for name, (model, words) in EVENT_TYPES.items()}


def _payload(event_type: str, data: type[BaseModel]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        "type": (Literal[event_type], ...),
        "timestamp": (Annotated[str, Field(json_schema_extra={"format": "date-time"})], ...),
        "api_version": (str, ...),
        "data": (data, ...),
    }
    return create_model(
        "".join(part.capitalize() for part in event_type.split(".")) + "Event",
        __config__=ConfigDict(extra="forbid"),
        __doc__="What is sent; the same text with each attempt.",
        **fields,
    )
