"""Where a withdrawal goes, looked at before money is put aside for it.

A slip of the pen in a Lightning address is a stranger's name or nobody's, and an invoice that
was used before takes no second payment: the reader is told at once, not hours later.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvoiceUsed
from bitcache_server.domain.payout_state import UNSIGNED_STATES
from bitcache_server.models.payouts import Payout, PayoutBatch
from bitcache_server.models.sales import Payment
from bitcache_server.rails.lightning.decoding import Decoded, decode, looks_like_invoice
from bitcache_server.rails.lightning.lnurl_client import is_lightning_address
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.strangers import place_to_wait


def ask_address(
    deps: Deps, session: Session, rail_name: str, address: str, amount_msat: int
) -> None:
    """Ask a Lightning address whether it takes an amount; for all else nobody is asked.

    Ends the session's transaction first, for a stranger's server may let us wait. While many
    wait nobody is asked either: it is a courtesy, and strangers who hang must not keep others
    from their money; the payout itself asks again. Raises AddressInvalid, in words for the
    reader.
    """
    session.rollback()
    rail = deps.rail(rail_name)
    if not isinstance(rail, LightningRail) or not is_lightning_address(address):
        return
    with place_to_wait() as has_place:
        if has_place:
            rail.try_destination(address, amount_msat)


def read_invoice(deps: Deps, address: str) -> Decoded | None:
    """Return what an invoice says, None for every other destination; raise AddressInvalid."""
    return decode(address, deps.settings.network) if looks_like_invoice(address) else None


def refuse_used_invoice(session: Session, rail_name: str, invoice: Decoded) -> None:
    """Raise InvoiceUsed for an invoice that takes no payment of ours any more.

    A payout has it or had it, also one that failed: the node might make that payment twice.
    Or it is one of our own, and somebody paid it. Only reads.
    """
    waits = select(Payout.id).where(
        Payout.state.in_(UNSIGNED_STATES), Payout.destination == invoice.bolt11
    )
    tried = select(PayoutBatch.id).where(
        PayoutBatch.rail == rail_name, PayoutBatch.reference == invoice.payment_hash
    )
    received = select(Payment.reference).where(
        Payment.rail == rail_name, Payment.reference == invoice.payment_hash
    )
    if session.scalar(waits.limit(1)) is not None:
        raise InvoiceUsed("This invoice is on its way to be paid already. Make a new one.")
    if session.scalar(tried.limit(1)) is not None:
        raise InvoiceUsed("This invoice was used for a payment before. Make a new one.")
    if session.scalar(received.limit(1)) is not None:
        raise InvoiceUsed("This invoice was paid before. Make a new one.")
