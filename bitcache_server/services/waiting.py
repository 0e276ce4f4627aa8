"""What changed lately, for all waiting readers with one query."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.models.sales import Invoice

IDS_PER_QUERY = 500


def changed_since(session: Session, since: int) -> list[tuple[str, int]]:
    """Return (invoice id, version) of the invoices that changed at that time or later."""
    query = select(Invoice.id, Invoice.version).where(Invoice.changed_at >= since)
    return [(invoice_id, version) for invoice_id, version in session.execute(query)]


def versions_of(session: Session, invoice_ids: Sequence[str]) -> list[tuple[str, int]]:
    """Return (invoice id, version) of the given invoices."""
    found: list[tuple[str, int]] = []
    for start in range(0, len(invoice_ids), IDS_PER_QUERY):
        some = invoice_ids[start : start + IDS_PER_QUERY]
        query = select(Invoice.id, Invoice.version).where(Invoice.id.in_(some))
        found += [(invoice_id, version) for invoice_id, version in session.execute(query)]
    return found
