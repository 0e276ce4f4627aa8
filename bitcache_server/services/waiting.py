"""What changed lately, for all waiting readers with one query."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.models.sales import Invoice


def changed_since(session: Session, since: int) -> list[tuple[str, int]]:
    """Return (invoice id, version) of the invoices that changed at that time or later."""
    query = select(Invoice.id, Invoice.version).where(Invoice.changed_at >= since)
    return [(invoice_id, version) for invoice_id, version in session.execute(query)]
