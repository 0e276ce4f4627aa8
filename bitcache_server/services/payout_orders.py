"""Which waiting payouts the next transaction carries, and why the others go on waiting.

No payout holds up another: one that the rail refuses, or whose merchant has become a
debtor meanwhile, is explained to operators and comes last from then on.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    PayoutLimit,
    PayoutsUnavailable,
    RailError,
)
from bitcache_server.domain.payout_state import RETRY_AFTER_S, PayoutState
from bitcache_server.ledger import chart
from bitcache_server.ledger.payable import proven_msat
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutOrder, PreparedPayout, Rail
from bitcache_server.services.deps import Deps

MAX_TEXT_CHARS = 200

_IN_DEBT = "The merchant's sales were taken back; the payout waits until others make up for it."
#: What the rail says of some orders, while it could pay others.
_REFUSALS = (AddressInvalid, PayoutLimit, PayoutsUnavailable)


@dataclass(frozen=True)
class WaitingPayout:
    """A payout that no transaction carries, as it was stored when it was read."""

    order: PayoutOrder
    owner_account: str
    created_at: int


def may_go() -> tuple[ColumnElement[bool], ...]:
    """Return what is true of a payout that a payment may carry: it waits, and nobody holds it."""
    return (Payout.state == PayoutState.WAITING, Payout.held_at.is_(None))


def waiting_payouts(session: Session, rail: str, limit: int, now: int) -> list[WaitingPayout]:
    """Return the oldest that wait; those that were left out before come last.

    One that failed and is to be tried later is left out, unless its time lies so far away
    that the clock must have been put back.
    """
    due = or_(Payout.next_try_at <= now, Payout.next_try_at > now + max(RETRY_AFTER_S))
    query = (
        select(Payout)
        .where(Payout.rail == rail, *may_go(), due)
        .order_by(Payout.reason != "", Payout.created_at, Payout.id)
        .limit(limit)
    )
    return [
        WaitingPayout(
            PayoutOrder(row.id, row.destination, row.amount_msat, row.fee_msat),
            row.owner_account,
            row.created_at,
        )
        for row in session.scalars(query)
    ]


def sign_payable(
    deps: Deps, session: Session, rail: Rail, waiting: Sequence[WaitingPayout]
) -> tuple[PreparedPayout | None, Sequence[PayoutOrder]]:
    """Sign one transaction for as many as can be paid, and explain why the others wait.

    Opens its own transactions, none while the rail is asked. Raises RailError.
    """
    orders = _payable(session, rail, covered_orders(deps, session, waiting))
    try:
        return _sign(session, rail, orders)
    except RailError as error:
        explain(session, orders, error.detail)
        raise


def explain(session: Session, orders: Sequence[PayoutOrder], words: str) -> None:
    """Store why payouts that are due wait, for operators.

    Without a time of the next try: that is how a fault of the destination's own differs.
    """
    ids = [order.payout_id for order in orders]
    reason = words[:MAX_TEXT_CHARS]
    is_news = or_(Payout.reason != reason, Payout.next_try_at != 0)
    with write_transaction(session):
        session.execute(
            update(Payout)
            .where(Payout.id.in_(ids), Payout.state == PayoutState.WAITING, is_news)
            .values(reason=reason, next_try_at=0)
        )


def covered_orders(
    deps: Deps, session: Session, waiting: Sequence[WaitingPayout]
) -> Sequence[PayoutOrder]:
    """Return the orders but those of merchants whose balance went below zero meanwhile."""
    now, window_s = deps.clock(), deps.settings.undo_window_s
    debtors = set()
    for owner_account in {one.owner_account for one in waiting}:
        owner = chart.parse(owner_account)
        if owner.kind is not chart.AccountKind.MERCHANT:
            continue
        if proven_msat(session, owner.key, now, window_s) < 0:
            debtors.add(owner_account)
    session.rollback()
    if debtors:
        explain(session, [one.order for one in waiting if one.owner_account in debtors], _IN_DEBT)
    return [one.order for one in waiting if one.owner_account not in debtors]


def _payable(session: Session, rail: Rail, orders: Sequence[PayoutOrder]) -> list[PayoutOrder]:
    """Return the orders that go to an address which the rail can pay."""
    payable = []
    for order in orders:
        try:
            rail.check_destination(order.destination)
        except AddressInvalid as error:
            explain(session, [order], error.detail)
        else:
            payable.append(order)
    return payable


def _sign(
    session: Session, rail: Rail, orders: Sequence[PayoutOrder]
) -> tuple[PreparedPayout | None, Sequence[PayoutOrder]]:
    """Sign for as many as the money suffices for, the smallest first.

    Where not even the smallest can be paid, or one is at fault whatever the wallet holds,
    each is tried alone, and those that fail are left out.
    """
    ascending = sorted(orders, key=lambda order: order.amount_msat)
    try:
        prepared, paid = _sign_most(session, rail, ascending, (PayoutsUnavailable,))
    except (AddressInvalid, PayoutLimit):
        prepared, paid = None, ()
    if prepared is not None:
        return prepared, paid
    return _sign_most(session, rail, _payable_alone(session, rail, ascending), _REFUSALS)


def _sign_most(
    session: Session,
    rail: Rail,
    orders: Sequence[PayoutOrder],
    refusals: tuple[type[BitcacheError], ...],
) -> tuple[PreparedPayout | None, Sequence[PayoutOrder]]:
    """Sign for all orders, or for the first half of them for as long as they are refused."""
    while orders:
        try:
            return rail.prepare_payout(orders), orders
        except refusals as error:
            half = len(orders) // 2
            explain(session, orders[half:], error.detail)
            orders = orders[:half]
    return None, ()


def _payable_alone(
    session: Session, rail: Rail, orders: Sequence[PayoutOrder]
) -> list[PayoutOrder]:
    """Return the orders that can be paid alone. What is signed for that is thrown away."""
    payable, refused = [], defaultdict(list)
    for order in orders:
        try:
            rail.prepare_payout([order])
        except _REFUSALS as error:
            refused[error.detail].append(order)
        else:
            payable.append(order)
    for words, those in refused.items():
        explain(session, those, words)
    return payable
