"""What withdrawals and merchants' payouts share: destinations, limits, the reserve."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import (
    AddressInvalid,
    IdempotencyConflict,
    PayoutLimit,
    PayoutsUnavailable,
    RailError,
    UnknownPayout,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.payout_state import (
    COUNTED_STATES,
    OPEN_STATES,
    PayoutState,
    needs_approval,
)
from bitcache_server.ledger.payout_recipes import Reserve, reserve
from bitcache_server.models.operations import JobLease
from bitcache_server.models.payouts import Payout, PayoutApproval
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rails.lightning.decoding import decode, looks_like_invoice
from bitcache_server.rails.lightning.lnurl_client import is_lightning_address
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_slots import check_slots
from bitcache_server.tokens.secrets import new_id

#: An invoice with many hints for its route is long; an address is not.
MAX_DESTINATION_CHARS = 2_000
#: Where several rails pay, and the text was meant for none of them.
_NOTHING_KNOWN = "That is no Bitcoin address, no Lightning invoice and no Lightning address."
#: A row that all new payouts lock, so that together they keep the limit of all.
_LIMIT_LOCK = "payout-limits"


@dataclass(frozen=True)
class Destination:
    """Where money can be sent, and what one payee costs there now."""

    rail: str
    address: str
    fee_msat: int
    """What is put aside for the network; see ``Rail.payout_fee_msat``."""
    amount_msat: int | None = None
    """What an invoice asks for, which nothing else can be paid to; None for any amount."""


@dataclass(frozen=True)
class PayoutRequest:
    """A payout that somebody asked for."""

    owner_account: str
    destination: Destination
    amount_msat: int
    idempotency_key: str

    @property
    def total_msat(self) -> int:
        """Return what leaves the owner's account."""
        return self.amount_msat + self.destination.fee_msat


def find_rail(deps: Deps, address: str) -> tuple[str, str]:
    """Return the rail that can pay an address, and the address in its normal form.

    Asks the rails, so call it outside a transaction. Raises AddressInvalid in words a
    reader understands, PayoutsUnavailable.
    """
    refusals: list[AddressInvalid] = []
    if len(address) > MAX_DESTINATION_CHARS:
        raise AddressInvalid("That is too long to be an address.")
    for name, rail in deps.rails.items():
        try:
            return name, rail.check_destination(address)
        except AddressInvalid as error:
            if rail.payouts_together != 0 or error.is_meant:
                refusals.append(error)
        except RailError as error:
            raise PayoutsUnavailable("The payment network does not answer; try later.") from error
    if len(refusals) > 1 and all(error.is_meant is False for error in refusals):
        raise AddressInvalid(_NOTHING_KNOWN)
    ranks = {True: 0, None: 1, False: 2}
    raise min(refusals, key=lambda error: ranks[error.is_meant], default=PayoutsUnavailable())


def find_destination(deps: Deps, text: str, amount_msat: int | None) -> Destination:
    """Return how a text is paid, and what an amount to there costs now; see ``find_rail``.

    An invoice that asks for an amount fixes it. Without any amount the fee is the least one.
    """
    name, normal = find_rail(deps, text)
    asked_msat = asked_amount_msat(deps, normal)
    amount_msat = asked_msat or amount_msat or 0
    return Destination(name, normal, cost_msat(deps, name, normal, amount_msat), asked_msat)


def cost_msat(deps: Deps, rail: str, address: str, amount_msat: int) -> int:
    """Return what a payout costs now; raise PayoutsUnavailable where the rail cannot tell."""
    try:
        return deps.rail(rail).payout_fee_msat(address, amount_msat)
    except RailError as error:
        raise PayoutsUnavailable("The payment network does not answer; try later.") from error


def asked_amount_msat(deps: Deps, address: str) -> int | None:
    """Return the amount that an invoice asks for; None for every other destination."""
    if not looks_like_invoice(address):
        return None
    return decode(address, deps.settings.network).amount_msat


def all_of_it(deps: Deps, destination: Destination, held_msat: int) -> tuple[int, int]:
    """Return the largest amount in whole sats that ``held_msat`` suffices for, and its fee.

    The fee never shrinks as the amount grows. So an odd number of rounds from above ends
    below the limit, and three come as close as a sat; a fixed fee needs but one. 0 or less
    is left of too little.
    """
    rail, address = destination.rail, destination.address
    amount_msat, fee_msat = held_msat, cost_msat(deps, rail, address, max(0, held_msat))
    for _ in range(3):
        amount_msat = whole_sats(held_msat - fee_msat)
        before_msat, fee_msat = fee_msat, cost_msat(deps, rail, address, amount_msat)
        if fee_msat == before_msat:
            break
    return amount_msat, fee_msat


def least_msat(deps: Deps, rail: str) -> int:
    """Return the smallest payout over a rail: a sat where each is a payment of its own."""
    if deps.rail(rail).payouts_together == 1:
        return MSAT_PER_SAT
    return deps.settings.withdrawal_min_sat * MSAT_PER_SAT


def least_of_all_msat(deps: Deps) -> int:
    """Return the smallest payout over any rail that pays."""
    paying = [name for name, rail in deps.rails.items() if rail.payouts_together != 0]
    floor_msat = deps.settings.withdrawal_min_sat * MSAT_PER_SAT
    return min((least_msat(deps, name) for name in paying), default=floor_msat)


def whole_sats(amount_msat: int) -> int:
    """Return an amount without its part of a sat, rounded down; 0 for a negative one."""
    return max(0, amount_msat) // MSAT_PER_SAT * MSAT_PER_SAT


def earlier_payout(session: Session, owner_account: str, idempotency_key: str) -> Payout | None:
    """Return what this key asked for before."""
    query = select(Payout).where(
        Payout.owner_account == owner_account, Payout.idempotency_key == idempotency_key
    )
    return session.scalar(query)


def same_payout(earlier: Payout, address: str, amount_msat: int) -> Payout:
    """Return the earlier payout; raise IdempotencyConflict when it is for something else."""
    if (earlier.destination, earlier.amount_msat) != (address, amount_msat):
        raise IdempotencyConflict("This key was used for another payout before.")
    return earlier


def check_limits(
    deps: Deps, session: Session, owner_account: str, rail: str, amount_msat: int
) -> None:
    """Raise PayoutLimit when the amount is too small or the day's limits do not hold it.

    Raises TooManyPayouts, a special case of it, when too many are open.
    """
    check_slots(deps, session, owner_account, rail, amount_msat)
    floor_msat = least_msat(deps, rail)
    left_msat = left_today_msat(deps, session, owner_account)
    if max(amount_msat, floor_msat) > left_msat:
        raise PayoutLimit(f"Within 24 hours {format_sat(left_msat)} more can be paid out.")
    if amount_msat < floor_msat:
        raise PayoutLimit(f"The smallest amount is {format_sat(floor_msat)}.")


def left_today_msat(deps: Deps, session: Session, owner_account: str) -> int:
    """Return what an owner may still be paid within 24 hours, by their limit and that of all."""
    settings = deps.settings
    since = deps.clock() - SECONDS_PER_DAY
    everyone_msat = settings.payout_max_sat_per_day * MSAT_PER_SAT - _paid_since(session, since)
    if not owner_account.startswith("wallet:"):
        return max(0, everyone_msat)
    own_msat = settings.withdrawal_max_sat_per_day * MSAT_PER_SAT
    own_msat -= _paid_since(session, since, Payout.owner_account == owner_account)
    return max(0, min(everyone_msat, own_msat))


def _paid_since(session: Session, since: int, *conditions: ColumnElement[bool]) -> int:
    # No upper bound: what was paid before the clock was put back counts as well.
    query = select(func.coalesce(func.sum(Payout.amount_msat), 0)).where(
        Payout.created_at > since, Payout.state.in_(COUNTED_STATES)
    )
    return int(session.execute(query.where(*conditions)).scalar_one())


def _next_try_at(deps: Deps, session: Session, wanted: PayoutRequest) -> int:
    """Return 0, or when the owner's address that was taken back would have been asked again.

    Taking back and asking anew is no way around that: each question costs the time of the
    one who pays everybody.
    """
    if not is_lightning_address(wanted.destination.address):
        return 0
    query = select(func.coalesce(func.max(Payout.next_try_at), 0)).where(
        Payout.owner_account == wanted.owner_account,
        Payout.state == PayoutState.CANCELLED,
        Payout.next_try_at > deps.clock(),
    )
    return int(session.execute(query).scalar_one())


def open_payout(deps: Deps, session: Session, wanted: PayoutRequest) -> Payout:
    """Reserve the money and store the payout, inside the caller's write transaction.

    The caller holds the owner's row lock and has looked for an earlier payout of the
    same key. Without an address it waits behind a link. Raises PayoutLimit, and
    InsufficientBalance for a wallet.
    """
    lock_limits(session)
    rail = wanted.destination.rail
    check_limits(deps, session, wanted.owner_account, rail, wanted.amount_msat)
    payout = Payout(
        id=new_id("po"),
        owner_account=wanted.owner_account,
        rail=rail,
        destination=wanted.destination.address,
        amount_msat=wanted.amount_msat,
        fee_msat=wanted.destination.fee_msat,
        state=_first_state(deps, session, wanted).value,
        reason="",
        attempts=0,
        next_try_at=_next_try_at(deps, session, wanted),
        fee_returned_msat=0,
        idempotency_key=wanted.idempotency_key,
        created_at=deps.clock(),
    )
    session.add(payout)
    session.flush()
    reserve(session, reserve_of(payout), deps.clock())
    return payout


def lock_limits(session: Session) -> None:
    """Let whoever counts payouts against a limit queue until the caller's transaction ends."""
    insert_missing(session, JobLease, name=_LIMIT_LOCK, holder="", expires_at=0)
    session.execute(select(JobLease).where(JobLease.name == _LIMIT_LOCK).with_for_update())


def _first_state(deps: Deps, session: Session, wanted: PayoutRequest) -> PayoutState:
    unapproved_msat = _paid_since(
        session,
        deps.clock() - SECONDS_PER_DAY,
        Payout.owner_account == wanted.owner_account,
        Payout.state != PayoutState.APPROVAL,
        Payout.id.not_in(select(PayoutApproval.payout_id)),
    )
    above_msat = deps.settings.payout_approval_above_sat * MSAT_PER_SAT
    if needs_approval(wanted.amount_msat, unapproved_msat, above_msat):
        return PayoutState.APPROVAL
    return ready_state(wanted.destination.address)


def ready_state(address: str) -> PayoutState:
    """Return the state of a payout that may go: it waits for a payment, or to be claimed."""
    return PayoutState.WAITING if address else PayoutState.OFFERED


def reserve_of(payout: Payout) -> Reserve:
    """Return what the ledger holds for a payout that is open."""
    return Reserve(payout.id, payout.owner_account, payout.amount_msat, payout.fee_msat)


def lock_payout(session: Session, payout_id: str) -> Payout:
    """Lock a payout until the caller's write transaction ends; raise UnknownPayout."""
    query = select(Payout).where(Payout.id == payout_id).with_for_update()
    return _known(session.scalar(query.execution_options(populate_existing=True)), payout_id)


def get_payout(session: Session, payout_id: str) -> Payout:
    """Return a payout; raise UnknownPayout."""
    return _known(session.get(Payout, payout_id), payout_id)


def _known(found: Payout | None, payout_id: str) -> Payout:
    if found is None:
        raise UnknownPayout(f"There is no payout {payout_id[:64]!r}.")
    return found


def payouts_of(session: Session, owner_account: str, limit: int = 100) -> Sequence[Payout]:
    """Return the newest payouts of an account."""
    query = select(Payout).where(Payout.owner_account == owner_account)
    return session.scalars(
        query.order_by(Payout.created_at.desc(), Payout.id.desc()).limit(limit)
    ).all()


def reserved_msat(session: Session, owner_account: str) -> int:
    """Return what an owner's open payouts hold, fees included."""
    query = select(func.coalesce(func.sum(Payout.amount_msat + Payout.fee_msat), 0)).where(
        Payout.owner_account == owner_account, Payout.state.in_(OPEN_STATES)
    )
    return int(session.execute(query).scalar_one())
