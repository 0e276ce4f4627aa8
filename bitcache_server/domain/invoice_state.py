"""The true state of an invoice, derived from facts and nothing else.

The state is never nudged from one value to the next: it is worked out afresh
from the payments every time something happens. So a reorganisation, a double
spend or a payment after months all take the same path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bitcache_server.domain.money import MSAT_PER_SAT, msat_to_sat_ceil


class InvoiceState(StrEnum):
    """``seen`` is enough money in sight, not yet final."""

    OPEN = "open"
    SEEN = "seen"
    PAID = "paid"
    EXPIRED = "expired"


class Mark(StrEnum):
    """Things a reader must be told beside the state."""

    UNDERPAID = "underpaid"
    OVERPAID = "overpaid"
    LATE = "late"


@dataclass(frozen=True)
class PaymentFact:
    """One payment as the rails report it now."""

    amount_msat: int
    arrived_at: int
    confirmations: int
    confirmations_required: int
    sight_ok: bool
    mature: bool
    """False for a coinbase output that is not 100 blocks deep."""
    removed: bool
    """A conflicting transaction took its place."""
    whole_sats: bool
    """The rail moves whole sats only, so the price was rounded up for it."""
    final: bool = False
    """Nobody can take it back (Lightning), so that it needs no confirmations."""

    @property
    def settled(self) -> bool:
        """Return whether this money counts."""
        if self.removed or not self.mature:
            return False
        if self.final:
            return True
        if self.confirmations >= max(self.confirmations_required, 1):
            return True
        return self.confirmations_required == 0 and self.sight_ok


@dataclass(frozen=True)
class Assessment:
    """What is true of an invoice. Amounts in msat."""

    state: InvoiceState
    marks: tuple[Mark, ...]
    received_msat: int
    """In sight, on time or late, final or not."""
    settled_msat: int
    missing_msat: int
    rounding_msat: int
    """Part of a sale that exists only because the rail moves whole sats."""
    credit_msat: int
    """Settled money that bought nothing: late, too little at expiry, or too much."""


def assess(
    amount_msat: int, expires_at: int, payments: Sequence[PaymentFact], now: int
) -> Assessment:
    """Return the true state of an invoice of ``amount_msat`` at the time ``now``."""
    alive = [p for p in payments if not p.removed]
    on_time = [p for p in alive if p.arrived_at <= expires_at]
    in_time_msat = sum(p.amount_msat for p in on_time)
    settled_msat = sum(p.amount_msat for p in alive if p.settled)
    settled_in_time_msat = sum(p.amount_msat for p in on_time if p.settled)
    if settled_in_time_msat >= amount_msat:
        state = InvoiceState.PAID
    elif in_time_msat >= amount_msat:
        state = InvoiceState.SEEN
    else:
        state = InvoiceState.EXPIRED if now > expires_at else InvoiceState.OPEN
    sold_rounding = 0
    if state is InvoiceState.PAID:
        sold_rounding = _rounding_msat(amount_msat, [p for p in on_time if p.settled])
    return Assessment(
        state=state,
        marks=_marks(amount_msat, on_time, late=len(on_time) < len(alive)),
        received_msat=sum(p.amount_msat for p in alive),
        settled_msat=settled_msat,
        missing_msat=max(0, amount_msat - in_time_msat),
        rounding_msat=sold_rounding,
        credit_msat=_credit_msat(state, settled_msat, amount_msat + sold_rounding),
    )


def _rounding_msat(amount_msat: int, payments: Sequence[PaymentFact]) -> int:
    """Return how much more than the price whole sats come to (rounded up)."""
    if not any(p.whole_sats for p in payments):
        return 0
    rounded_msat = msat_to_sat_ceil(amount_msat) * MSAT_PER_SAT
    return max(0, min(sum(p.amount_msat for p in payments), rounded_msat) - amount_msat)


def _marks(amount_msat: int, on_time: Sequence[PaymentFact], late: bool) -> tuple[Mark, ...]:
    marks = []
    in_time_msat = sum(p.amount_msat for p in on_time)
    rounding_msat = _rounding_msat(amount_msat, on_time)
    if 0 < in_time_msat < amount_msat:
        marks.append(Mark.UNDERPAID)
    if in_time_msat > amount_msat + rounding_msat:
        marks.append(Mark.OVERPAID)
    if late:
        marks.append(Mark.LATE)
    return tuple(marks)


def _credit_msat(state: InvoiceState, settled_msat: int, sold_msat: int) -> int:
    if state is InvoiceState.PAID:
        return max(0, settled_msat - sold_msat)
    return settled_msat if state is InvoiceState.EXPIRED else 0
