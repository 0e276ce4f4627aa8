"""Whether a node that never heard of a payment is the node that was told to make it.

Another node at the same URL answers truthfully that it has no such payment, while the first
one may have made it. So it is asked about the newest payment that had settled before: who
does not know that one either is a stranger, and says nothing about ours.
"""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import AddressInvalid
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import BatchState
from bitcache_server.models.payouts import PayoutBatch, PayoutResolution
from bitcache_server.rails.base import PayoutLookup, PayoutOrder, PreparedPayout, Rail
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.services.deps import Deps
from bitcache_server.services.payouts import get_payout

#: What is told of a payment whose node seems to be another one now.
STRANGER = "The node knows neither this payment nor one that settled before: was it replaced?"
#: What is told of an invoice that may be under way where nothing pending is listed.
_MAY_BE_PAID = "It may have been paid since the backup; the node cannot tell yet."


def testified(session: Session, rail: Rail, found: PayoutLookup, since: int) -> PayoutLookup:
    """Return what a node says of a payment that was first announced at ``since``.

    That it never heard of it counts only if it knows what settled before, if anything did,
    or if this very process heard it refuse. Asks the rail, so call it outside a transaction.
    """
    if not found.missing or found.refused:
        return found
    earlier = _settled_before(session, rail.name, since)
    if earlier is None:
        return found
    known = rail.lookup_payout(earlier)
    if known.missing:
        return replace(found, outcome=Outcome.UNKNOWN, detail=STRANGER, missing=False)
    if known.outcome is Outcome.UNKNOWN:
        return replace(found, outcome=Outcome.UNKNOWN, detail=known.detail, missing=False)
    return found


def is_stranger(session: Session, rail: Rail, since: int) -> bool:
    """Return whether the node does not know the newest payment that settled until then."""
    earlier = _settled_before(session, rail.name, since)
    return earlier is not None and rail.lookup_payout(earlier).missing


def _settled_before(session: Session, rail: str, since: int) -> PreparedPayout | None:
    """Return the newest payment that a node, not people, said was settled.

    It went out before ours was announced: a later one may be the stranger's own.
    """
    query = (
        select(PayoutBatch)
        .where(
            PayoutBatch.rail == rail,
            PayoutBatch.state == BatchState.SETTLED,
            PayoutBatch.sent_at <= since,
            PayoutBatch.raw != "",
            PayoutBatch.id.not_in(select(PayoutResolution.batch_id)),
        )
        .order_by(PayoutBatch.sent_at.desc(), PayoutBatch.id)
        .limit(1)
    )
    row = session.scalar(query)
    found = None
    if row is not None:
        found = PreparedPayout(row.reference, row.raw, row.amount_msat, row.fee_msat)
    session.rollback()
    return found


def lookup_unsent(
    deps: Deps, session: Session, rail: Rail, order: PayoutOrder
) -> PayoutLookup | None:
    """Ask the node about an invoice that no payment of the database is for.

    A database from a backup has forgotten what it paid. None for what is no invoice. Where
    a restore was announced, "missing" counts as late as of a payment that was sent.
    """
    try:
        invoice = decode(order.destination, deps.settings.network)
    except AddressInvalid:
        return None
    reserve_msat = order.max_fee_msat or 0
    prepared = PreparedPayout(invoice.payment_hash, invoice.bolt11, order.amount_msat, reserve_msat)
    payout = get_payout(session, order.payout_id)
    restored_at, created_at = payout.restored_at, payout.created_at
    session.rollback()
    found = rail.lookup_payout(prepared)
    if restored_at is None:
        return found
    found = testified(session, rail, found, created_at)
    if found.missing and found.outcome is Outcome.UNKNOWN:
        return replace(found, detail=_MAY_BE_PAID, missing=False)
    return found
