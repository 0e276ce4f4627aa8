"""Which rails an amount can be paid over, and how many confirmations it needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import AmountBelowFloor, NoInboundRoom, RailUnavailable
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat, msat_to_sat_ceil
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.operations import RailStatus
from bitcache_server.rails.base import StreamRail
from bitcache_server.services.deps import Deps

#: The best way to pay a small amount first; rails that are not named here come last.
_PREFERENCE = ("lightning", "onchain")
_ILL = "The payment network has not been in reach lately. Try again later."


@dataclass(frozen=True)
class Offers:
    """The rails that take an amount, best first, and why each other one does not."""

    rails: tuple[str, ...]
    refusals: tuple[AmountBelowFloor | RailUnavailable, ...]


def in_order(names: Sequence[str]) -> list[str]:
    """Return names of rails, the best for readers first."""
    last = len(_PREFERENCE)
    return sorted(names, key=lambda n: _PREFERENCE.index(n) if n in _PREFERENCE else last)


def account_of(deps: Deps, merchant: Merchant | None, rail_name: str) -> str | None:
    """Return who receives over a rail: a descriptor or a Lightning address.

    Empty is the operator's own node, None nobody at all. A merchant who receives by
    themselves does so over every rail that they are paid over; no merchant is a reader's
    top-up, which the operator keeps for them.
    """
    own = merchant is not None and merchant.direct
    if isinstance(deps.rail(rail_name), StreamRail):
        if own:
            return merchant.lightning_address if merchant else None
        return "" if deps.settings.lightning_backend else None
    return merchant.descriptor if merchant and own else deps.settings.onchain_descriptor


def floor_msat(deps: Deps, rail_name: str, status: RailStatus | None) -> int:
    """Return the smallest amount that a rail is offered for; none for Lightning.

    On-chain it follows the fee: nobody should pay more to the miners than to the author.
    """
    if isinstance(deps.rail(rail_name), StreamRail):
        return 0
    settings = deps.settings
    return max(
        settings.onchain_floor_sat * MSAT_PER_SAT,
        fee_rate_msat(deps, status) * settings.onchain_floor_fee_vb,
    )


def fee_rate_msat(deps: Deps, status: RailStatus | None) -> int:
    """Return the last known fee of a vbyte in msat, or the operator's fallback."""
    if status is not None and status.fee_rate_msat_per_vb > 0:
        return status.fee_rate_msat_per_vb
    return deps.settings.fallback_fee_sat_per_vb * MSAT_PER_SAT


def rails_for(
    deps: Deps, session: Session, merchant: Merchant | None, amount_msat: int | None
) -> tuple[str, ...]:
    """Return the names of the rails on offer for an amount, best first."""
    if amount_msat is None:
        return ()
    return offers_for(deps, session, merchant, amount_msat).rails


def offers_for(deps: Deps, session: Session, merchant: Merchant | None, amount_msat: int) -> Offers:
    """Return which rails take an amount, and the reasons of those that do not."""
    offered: list[str] = []
    refusals: list[AmountBelowFloor | RailUnavailable] = []
    for name in in_order(list(deps.rails)):
        try:
            check_rail(deps, session, merchant, name, amount_msat)
        except (RailUnavailable, AmountBelowFloor) as refusal:
            refusals.append(refusal)
        else:
            offered.append(name)
    return Offers(tuple(offered), tuple(refusals))


def check_rail(
    deps: Deps, session: Session, merchant: Merchant | None, name: str, amount_msat: int
) -> str:
    """Return the account that receives an amount over a rail, as it was stored.

    Raises RailUnavailable, of which NoInboundRoom is one, or AmountBelowFloor when the rail
    cannot take the amount. A rail that has been ill for long is not offered: its payments
    would not be lost, but the reader would wait in front of a closed wall.
    """
    rail = deps.rail(name)
    status = session.get(RailStatus, name)
    floor = floor_msat(deps, name, status)
    # Asked first: neither a wallet nor a network that comes back makes the amount larger.
    if amount_msat < floor:
        least_msat = msat_to_sat_ceil(floor) * MSAT_PER_SAT
        raise AmountBelowFloor(
            f"On-chain payments start at {format_sat(least_msat)} at the present fees; "
            f"this item costs {format_sat(amount_msat)}."
        )
    account = account_of(deps, merchant, name)
    if account is None:
        lacks = "a Lightning node or address" if isinstance(rail, StreamRail) else "a descriptor"
        raise RailUnavailable(f"Neither the merchant nor the operator has given {lacks}.")
    if isinstance(rail, StreamRail) and account:
        # Somebody else's node receives: all that it needs of us is jobs that ask about it.
        well_at = status.checked_at if status else 0
    else:
        well_at = status.ok_at if status else 0
        room_msat = status.receivable_msat if status else None
        if room_msat is not None and amount_msat > room_msat:
            raise NoInboundRoom(f"The node can receive {format_sat(room_msat)} at most now.")
    if status is None or deps.clock() - well_at > deps.settings.rail_stale_after_s:
        raise RailUnavailable(_ILL)
    return account


def confirmations_for(deps: Deps, amount_msat: int) -> int:
    """Return how many confirmations make an amount final; 0 accepts it on sight."""
    amount_sat = msat_to_sat_ceil(amount_msat)
    # The settings see to it that the last step holds for any amount.
    return next(
        step.confirmations
        for step in deps.settings.confirmations
        if step.up_to_sat is None or amount_sat <= step.up_to_sat
    )
