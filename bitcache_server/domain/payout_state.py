"""The states of payouts and of the transactions that carry them, and what comes next.

A payout's money is reserved from the first state on. It leaves the reserve in three
ways only: the transaction that pays is deep enough, or somebody cancelled or
rejected the payout before it was signed, or a Lightning payment failed for good.
"""

from collections.abc import Sequence
from enum import StrEnum

from bitcache_server.domain.outcome import Outcome


class PayoutState(StrEnum):
    """Where a payout stands."""

    APPROVAL = "approval"
    """Waits for two operators."""
    OFFERED = "offered"
    """Put aside behind a link, until somebody claims it."""
    WAITING = "waiting"
    """Waits for the next transaction."""
    SENDING = "sending"
    """A signed transaction carries it; it can still become ``waiting`` again."""
    SETTLED = "settled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    FAILED = "failed"
    """Nothing left, nothing ever will, and the money went back: only over Lightning."""


OPEN_STATES = (
    PayoutState.APPROVAL,
    PayoutState.OFFERED,
    PayoutState.WAITING,
    PayoutState.SENDING,
)
"""The payout's account holds amount and fee; in all other states it holds nothing."""
UNSIGNED_STATES = (PayoutState.APPROVAL, PayoutState.OFFERED, PayoutState.WAITING)
"""No signed transaction exists that could pay, so the money may go back."""
COUNTED_STATES = (*OPEN_STATES, PayoutState.SETTLED)
"""What the limits count."""


class BatchState(StrEnum):
    """Where a transaction stands."""

    SIGNED = "signed"
    """Stored, perhaps sent: nobody has seen it yet."""
    ASIDE = "aside"
    """As ``signed``, and others may go first: an operator saw that the node refuses it, or it
    is a Lightning payment, which takes no coins that others need."""
    SENT = "sent"
    SETTLED = "settled"
    FAILED = "failed"
    """Its coins were spent otherwise, too deep to come back."""


OPEN_BATCH_STATES = (BatchState.SIGNED, BatchState.ASIDE, BatchState.SENT)
UNSEEN_BATCH_STATES = (BatchState.SIGNED, BatchState.ASIDE)


class BatchStep(StrEnum):
    """What to do about a transaction after the rail was asked."""

    SETTLE = "settle"
    FAIL = "fail"
    SEND = "send"
    """Nobody knows it: send the very same transaction again."""
    WAIT = "wait"


def next_step(
    outcome: Outcome, confirmations: int, needed: int, needed_for_conflict: int
) -> BatchStep:
    """Return what follows from a rail's answer. Only a deep FAILED ends a transaction."""
    if outcome is Outcome.SETTLED and confirmations >= needed:
        return BatchStep.SETTLE
    if outcome is Outcome.FAILED and confirmations >= needed_for_conflict:
        return BatchStep.FAIL
    return BatchStep.SEND if outcome is Outcome.UNKNOWN else BatchStep.WAIT


#: How long after each failure a Lightning address is tried again, with a new invoice.
RETRY_AFTER_S = (60, 300, 1_800, 7_200)


def retry_after_s(attempts: int, one_time: bool) -> int | None:
    """Return how long a payout waits that failed for the ``attempts``-th time.

    None when it is over: what was for one invoice alone has no second try.
    """
    if one_time or attempts > len(RETRY_AFTER_S):
        return None
    return RETRY_AFTER_S[max(1, attempts) - 1]


def is_due(created_ats: Sequence[int], now: int, every_s: int, batch_size: int) -> bool:
    """Return whether the waiting payouts have gathered for long enough, or are many enough.

    A time in the future comes from a clock that was put back: nobody waits for that.
    """
    if len(created_ats) >= batch_size:
        return True
    return any(not 0 <= now - at < every_s for at in created_ats)


def needs_approval(amount_msat: int, unapproved_msat: int, above_msat: int) -> bool:
    """Return whether two operators must agree.

    ``unapproved_msat`` is what the same owner was paid without approval within a day, so
    that a large payout in small pieces needs it as well.
    """
    return amount_msat + unapproved_msat > above_msat
