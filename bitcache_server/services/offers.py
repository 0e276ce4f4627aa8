"""Which rails an amount can be paid over, and how many confirmations it needs."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import AmountBelowFloor, RailUnavailable
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat, msat_to_sat_ceil
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.operations import RailStatus
from bitcache_server.services.deps import Deps


@dataclass(frozen=True)
class Offers:
    """The rails that take an amount, best first, and why each other one does not."""

    rails: tuple[str, ...]
    refusals: tuple[AmountBelowFloor | RailUnavailable, ...]


def account_of(deps: Deps, merchant: Merchant | None) -> str | None:
    """Return the descriptor that receives: the merchant's own, or the operator's.

    No merchant is a reader's top-up, which the operator keeps for them.
    """
    own = merchant.descriptor if merchant else None
    return own or deps.settings.onchain_descriptor


def floor_msat(deps: Deps, status: RailStatus | None) -> int:
    """Return the smallest amount offered on-chain.

    It follows the fee: nobody should pay more to the miners than to the author.
    """
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
    for name in deps.rails:
        try:
            check_rail(deps, session, merchant, name, amount_msat)
        except (RailUnavailable, AmountBelowFloor) as refusal:
            refusals.append(refusal)
        else:
            offered.append(name)
    return Offers(tuple(offered), tuple(refusals))


def check_rail(
    deps: Deps, session: Session, merchant: Merchant | None, name: str, amount_msat: int
) -> None:
    """Raise RailUnavailable or AmountBelowFloor when the rail cannot take this amount.

    A rail that has been ill for long is not offered: its payments would not be
    lost, but the reader would wait in front of a closed wall.
    """
    deps.rail(name)
    status = session.get(RailStatus, name)
    floor = floor_msat(deps, status)
    # Asked first: neither a wallet nor a network that comes back makes the amount larger.
    if amount_msat < floor:
        raise AmountBelowFloor(
            f"On-chain payments start at {msat_to_sat_ceil(floor)} sat at the present fees; "
            f"this item costs {format_sat(amount_msat)}."
        )
    if account_of(deps, merchant) is None:
        raise RailUnavailable("Neither the merchant nor the operator has given a descriptor.")
    if status is None or deps.clock() - status.ok_at > deps.settings.rail_stale_after_s:
        raise RailUnavailable("The payment network has not been in reach lately. Try again later.")


def confirmations_for(deps: Deps, amount_msat: int) -> int:
    """Return how many confirmations make an amount final; 0 accepts it on sight."""
    amount_sat = msat_to_sat_ceil(amount_msat)
    # The settings see to it that the last step holds for any amount.
    return next(
        step.confirmations
        for step in deps.settings.confirmations
        if step.up_to_sat is None or amount_sat <= step.up_to_sat
    )
