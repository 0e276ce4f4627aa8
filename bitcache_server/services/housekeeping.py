"""Expiry, balance checkpoints and what may be forgotten."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.ledger import balances, idempotency
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.settle_invoice import settle_invoice

EXPIRE_CHUNK = 200


def expire_invoices(deps: Deps, session: Session) -> int:
    """Bring open invoices past their time to their true state; return how many.

    Their time includes the grace: before its end nothing about them changes.
    """
    expired = 0
    while True:
        query = (
            select(Invoice.id)
            .where(
                Invoice.state == InvoiceState.OPEN,
                Invoice.expires_at < deps.clock() - deps.settings.late_grace_s,
            )
            .order_by(Invoice.id)
            .limit(EXPIRE_CHUNK)
        )
        ids = session.scalars(query).all()
        session.rollback()
        for invoice_id in ids:
            # One at a time: who holds the wallet of one must not wait for the next.
            with write_transaction(session):
                settle_invoice(deps, session, invoice_id)
        expired += len(ids)
        if len(ids) < EXPIRE_CHUNK:
            return expired


def checkpoint_balances(deps: Deps, session: Session) -> None:
    """Store the derived balances of busy accounts, so that reading them stays quick."""
    balances.checkpoint(session, deps.clock())


def forget_idempotency_keys(deps: Deps, session: Session) -> int:
    """Delete idempotency keys older than the operator's limit; return how many."""
    oldest = deps.clock() - deps.settings.idempotency_lifetime_s
    with write_transaction(session):
        return idempotency.purge(session, older_than=oldest)
