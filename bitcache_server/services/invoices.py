"""Invoices by their id."""

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownInvoice
from bitcache_server.models.sales import Invoice


def find_invoice(session: Session, invoice_id: str) -> Invoice:
    """Return an invoice, be it of an item, a top-up or a merchant; raise UnknownInvoice."""
    invoice = session.get(Invoice, invoice_id)
    if invoice is None:
        raise unknown_invoice(invoice_id)
    return invoice


def unknown_invoice(invoice_id: str) -> UnknownInvoice:
    """Return the error for an id that names no invoice that the caller may see."""
    return UnknownInvoice(f"There is no invoice {invoice_id[:64]!r}.")
