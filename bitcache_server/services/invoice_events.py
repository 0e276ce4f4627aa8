"""Tell a merchant's webhooks what became of an invoice."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.invoice_state import InvoiceState, Mark
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_events import emit


@dataclass(frozen=True)
class InvoiceBefore:
    """What is compared, as it was before an invoice was assessed again."""

    state: str
    received_msat: int
    credit_msat: int


def before(invoice: Invoice) -> InvoiceBefore:
    """Return what an invoice is now, to compare it later."""
    return InvoiceBefore(invoice.state, invoice.received_msat, invoice.credit_msat)


def tell_of_invoice(deps: Deps, session: Session, invoice: Invoice, earlier: InvoiceBefore) -> None:
    """Put what has changed since into the outbox, in the caller's transaction.

    A top-up is between its reader and us.
    """
    if not invoice.merchant_id:
        return
    for event_type in _changes(invoice, earlier):
        emit(deps, session, invoice.merchant_id, event_type, _data(invoice))


def _changes(invoice: Invoice, earlier: InvoiceBefore) -> list[str]:
    became = invoice.state if invoice.state != earlier.state else ""
    more = invoice.received_msat > earlier.received_msat
    found = {
        "invoice.paid": became == InvoiceState.PAID,
        "invoice.expired": became == InvoiceState.EXPIRED,
        "invoice.underpaid": more and Mark.UNDERPAID in invoice.marks.split(","),
        "invoice.credited": invoice.credit_msat > earlier.credit_msat,
    }
    return [event_type for event_type, holds in found.items() if holds]


def _data(invoice: Invoice) -> dict[str, object]:
    return {
        "id": invoice.id,
        "state": invoice.state,
        "marks": [mark for mark in invoice.marks.split(",") if mark],
        "item": invoice.item_id or None,
        "site": invoice.site_id or None,
        "amount_msat": invoice.amount_msat,
        "received_msat": invoice.received_msat,
        "missing_msat": invoice.missing_msat,
        "credit_msat": invoice.credit_msat,
        "price_currency": invoice.price_currency,
        "price_amount": invoice.price_amount,
        "created_at": invoice.created_at,
        "paid_at": invoice.paid_at,
    }
