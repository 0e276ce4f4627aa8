"""What the API and the events' readers see of an order."""

import json

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from bitcache_server.domain.money import SAT, exponent_of
from bitcache_server.domain.order_state import OrderState
from bitcache_server.models.orders import Order
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.order_lines import from_json, taxes_of
from bitcache_server.services.orders import invoices_of, order_url
from bitcache_server.tokens.holders import holder_name


class OrderLineView(BaseModel):
    """A line; its price includes its tax."""

    title: str
    quantity: int
    unit_minor: int
    sum_minor: int
    tax_ppm: int | None


class OrderTaxView(BaseModel):
    """The tax of one rate, within the total; rounded half to even."""

    tax_ppm: int
    gross_minor: int
    tax_minor: int


class OrderInvoiceView(BaseModel):
    """An invoice that was made for the order."""

    id: str
    state: str
    marks: list[str]
    amount_msat: int
    received_msat: int
    credit_msat: int
    """Money that bought nothing: it is its payer's."""
    created_at: int
    expires_at: int


class OrderView(BaseModel):
    """An order as its site sees it. Amounts in minor units of the currency, or sats."""

    id: str
    reference: str
    state: str = Field(pattern="^(open|paid|cancelled|expired|refunded)$")
    site: str
    item: str
    """What its invoices sell; ``POST /v1/refunds`` wants it."""
    currency: str
    exponent: int
    total_minor: int
    lines: list[OrderLineView]
    taxes: list[OrderTaxView]
    customer_ref: str | None
    metadata: dict[str, str]
    return_url: str | None
    cancel_url: str | None
    payment_link: str | None
    created_at: int
    expires_at: int
    paid_at: int | None
    amount_msat: int | None
    """What was paid for it."""
    holder: str | None
    """Who paid: an invoice, or a reader's name for this merchant (``ho_…``)."""
    closed_at: int | None
    """When it was cancelled, expired or refunded."""
    checkout_url: str


class OrderInFull(OrderView):
    """An order with its invoices, oldest first."""

    invoices: list[OrderInvoiceView]


def order_view(deps: Deps, order: Order) -> OrderView:
    """Return the view of an order for its own site; asks no database."""
    lines = from_json(order.lines)
    return OrderView(
        id=order.id,
        reference=order.reference,
        state=str(OrderState(order.state)),
        site=order.site_id,
        item=order.item_id,
        currency=order.currency,
        exponent=0 if order.currency == SAT else exponent_of(order.currency),
        total_minor=order.total_minor,
        lines=[OrderLineView(**vars(line), sum_minor=line.sum_minor) for line in lines],
        taxes=[OrderTaxView(**vars(tax)) for tax in taxes_of(lines)],
        customer_ref=order.customer_ref,
        metadata=json.loads(order.extra),
        return_url=order.return_url,
        cancel_url=order.cancel_url,
        payment_link=order.link_id,
        created_at=order.created_at,
        expires_at=order.expires_at,
        paid_at=order.paid_at,
        amount_msat=order.paid_msat,
        holder=payer_of(deps, order),
        closed_at=order.closed_at,
        checkout_url=order_url(deps, order),
    )


def order_in_full(deps: Deps, session: Session, order: Order) -> OrderInFull:
    """Return the view of an order with its invoices."""
    made = [_invoice(invoice) for invoice in invoices_of(session, order.id)]
    return OrderInFull(**order_view(deps, order).model_dump(), invoices=made)


def payer_of(deps: Deps, order: Order) -> str | None:
    """Return who paid, as the merchant may know them: an invoice, or a wallet's name for them."""
    if order.paid_by is None or order.paid_by.startswith("in_"):
        return order.paid_by
    secret_key = deps.settings.secret_key.get_secret_value()
    return holder_name(secret_key, order.merchant_id, order.paid_by)


def _invoice(invoice: Invoice) -> OrderInvoiceView:
    return OrderInvoiceView(
        id=invoice.id,
        state=invoice.state,
        marks=[mark for mark in invoice.marks.split(",") if mark],
        amount_msat=invoice.amount_msat,
        received_msat=invoice.received_msat,
        credit_msat=invoice.credit_msat,
        created_at=invoice.created_at,
        expires_at=invoice.expires_at,
    )
