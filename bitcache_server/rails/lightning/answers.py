"""What becomes of an invoice and of a payment, said alike by every backend."""

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.money import ALL_MSAT
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import InvoiceStatus, Sent, Settled
from bitcache_server.rails.lightning.decoding import preimage_fits


def paid(settled: Settled) -> InvoiceStatus:
    """Return that an invoice of ours was paid."""
    return InvoiceStatus(Outcome.SETTLED, settled.amount_msat, settled.settled_at, settled.preimage)


def not_paid(outcome: Outcome) -> InvoiceStatus:
    """Return that nothing has come for an invoice of ours; UNKNOWN where the node has none."""
    return InvoiceStatus(outcome, 0, 0, "")


def proven(preimage: str, payment_hash: str) -> str:
    """Return the preimage of an invoice of ours; empty for one that proves nothing.

    Not every node behind a wallet tells it.
    """
    return preimage if preimage_fits(preimage, payment_hash) else ""


def settled(payment_hash: str, preimage: str, fee_msat: int) -> Sent:
    """Return SETTLED, or UNKNOWN when proof or fee cannot be: then somebody lies.

    A fee above the limit can be: not every node takes one.
    """
    if not preimage_fits(preimage, payment_hash):
        return Sent(Outcome.UNKNOWN, 0, "", "The node shows a preimage that does not fit.")
    if not 0 <= fee_msat <= ALL_MSAT:
        return Sent(Outcome.UNKNOWN, 0, "", "The node tells a fee that cannot be.")
    return Sent(Outcome.SETTLED, fee_msat, preimage.lower(), "")


def under_way() -> Sent:
    """Return PENDING."""
    return Sent(Outcome.PENDING, 0, "", "The payment is under way.")


def failed(detail: str) -> Sent:
    """Return FAILED: only where the node says that it is over."""
    return Sent(Outcome.FAILED, 0, "", detail)


def unclear(error: RailError) -> Sent:
    """Return UNKNOWN, because the node gave no answer."""
    return Sent(Outcome.UNKNOWN, 0, "", error.detail)


def no_such_payment() -> Sent:
    """Return UNKNOWN, because the node has no payment with that hash."""
    return Sent(Outcome.UNKNOWN, 0, "", "The node has no such payment.", missing=True)


def may_not_pay() -> Sent:
    """Return UNKNOWN: this server cannot pay now, but it may have paid before."""
    return Sent(Outcome.UNKNOWN, 0, "", "No secret that may pay was given.")


def is_free(known: Sent) -> bool:
    """Return whether nothing was paid or is under way, so far as the node knows."""
    return known.outcome is Outcome.FAILED or known.missing


def after_trouble(found: Sent, error: RailError, *, refused: bool) -> Sent:
    """Return what became of a payment whose call gave an error, given what a lookup found.

    A lookup's FAILED may still be that of an earlier attempt while this one starts, so it
    counts only where the node ``refused`` this one in so many words.
    """
    if found.outcome in (Outcome.SETTLED, Outcome.PENDING):
        return found
    return failed(error.detail) if refused and is_free(found) else unclear(error)


def network_words(chain: str, network: str) -> str:
    """Return what to say about a node on another network."""
    return f"The node is on {chain[:32]!r}; this server is set to {network!r}."
