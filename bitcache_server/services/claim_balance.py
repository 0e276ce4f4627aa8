"""Money of an invoice that bought nothing becomes its payer's balance."""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import CreditNotMovable, NoCredit, UnknownWallet
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import format_sat
from bitcache_server.ledger import recipes
from bitcache_server.ledger.wallet_recipes import lock_wallet
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.services.collect import verified_invoice
from bitcache_server.services.deps import Deps


def claim_to_balance(
    deps: Deps, session: Session, wallet_id: str, invoice_id: str, verifier: str
) -> int:
    """Move all credit of an invoice to a wallet and return the msat.

    Runs inside the caller's transaction and locks the invoice, so that of two calls at
    once one moves the money. Raises VerifierMismatch before it says anything about the
    state, UnknownInvoice, UnknownWallet, CreditNotMovable for money that a merchant's own
    wallet received, and NoCredit.
    """
    invoice = verified_invoice(session, invoice_id, verifier, lock=True)
    return move_credit(deps, session, wallet_id, invoice)


def move_credit(deps: Deps, session: Session, wallet_id: str, invoice: Invoice) -> int:
    """Do as ``claim_to_balance`` for who has shown that the invoice's money is theirs.

    The caller's transaction holds the invoice's row.
    """
    if invoice.direct:
        raise CreditNotMovable(
            "This payment went to the author's own wallet, so that it can buy this page "
            "only. Ask the author for the rest."
        )
    if invoice.credit_msat <= 0:
        raise NoCredit(_why_nothing(invoice))
    if _is_unconfirmed(session, invoice.id):
        raise NoCredit("The payment waits for its first confirmation. Try again in some minutes.")
    if lock_wallet(session, wallet_id).closed_at is not None:
        raise UnknownWallet()
    amount_msat, now = invoice.credit_msat, deps.clock()
    recipes.claim_credit(session, invoice.id, wallet_id, amount_msat, now)
    invoice.credit_msat = 0
    invoice.claimed_msat += amount_msat
    invoice.changed_at = now
    invoice.version += 1
    session.flush()
    return amount_msat


def _why_nothing(invoice: Invoice) -> str:
    if invoice.claimed_msat:
        moved = format_sat(invoice.claimed_msat)
        return f"Nothing is left here: what was left over, {moved}, was moved to a balance before."
    if invoice.state in (InvoiceState.OPEN, InvoiceState.SEEN) and invoice.received_msat:
        return "This payment may still buy what it was meant for. What is left over can be moved."
    return "This receipt code has no money that is left over."


def _is_unconfirmed(session: Session, invoice_id: str) -> bool:
    """Say whether some of the money that counts is in no block, or no longer in one.

    It can still be replaced, and a balance can be withdrawn.
    """
    waiting = exists().where(
        Payment.invoice_id == invoice_id,
        Payment.receipt_group.is_not(None),
        Payment.block_height.is_(None),
        Payment.final.is_(False),
    )
    return bool(session.scalar(select(waiting)))
