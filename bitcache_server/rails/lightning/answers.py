"""What becomes of a payment, said alike by every backend."""

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import Sent
from bitcache_server.rails.lightning.decoding import preimage_fits


def settled(payment_hash: str, preimage: str, fee_msat: int) -> Sent:
    """Return SETTLED, or UNKNOWN when the proof does not fit: then somebody lies."""
    if not preimage_fits(preimage, payment_hash):
        return Sent(Outcome.UNKNOWN, 0, "", "The node shows a preimage that does not fit.")
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


def after_trouble(found: Sent, error: RailError, *, refused: bool) -> Sent:
    """Return what became of a payment whose call gave an error, given what a lookup found.

    A lookup's FAILED may still be that of an earlier attempt while this one starts, so it
    counts only where the node ``refused`` this one in so many words.
    """
    if found.outcome in (Outcome.SETTLED, Outcome.PENDING):
        return found
    if refused and (found.outcome is Outcome.FAILED or found == no_such_payment()):
        return failed(error.detail)
    return unclear(error)


def network_words(chain: str, network: str) -> str:
    """Return what to say about a node on another network."""
    return f"The node is on {chain[:32]!r}; this server is set to {network!r}."
