"""Merchants are paid: on demand and on schedule, to the one address that the operator stored.

A site's secret can ask for a payout, and cannot say where it goes.
"""

import logging
import secrets
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    InvalidRequest,
    MerchantBalanceTooLow,
    PayoutAddressMissing,
    PayoutLimit,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.payout_state import COUNTED_STATES, OPEN_STATES
from bitcache_server.i18n import mark as _
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.audit_trail import note
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.deps import Deps
from bitcache_server.services.merchant_lock import lock_merchant, payable_msat, require_payable
from bitcache_server.services.money_places import note_money_place
from bitcache_server.services.payout_restores import hold_for_merchant
from bitcache_server.services.payouts import (
    Destination,
    PayoutRequest,
    all_of_it,
    earlier_payout,
    find_destination,
    find_rail,
    least_msat,
    left_today_msat,
    open_payout,
    whole_sats,
)

log = logging.getLogger(__name__)


def set_payout_terms(
    deps: Deps,
    session: Session,
    merchant_id: str,
    *,
    address: str | None = None,
    threshold_sat: int | None = None,
    every_s: int | None = None,
    account_id: str | None = None,
) -> Merchant:
    """Change where, from which balance and how often a merchant is paid; None keeps.

    An empty address takes the stored one away; ``every_s`` of 0 is on demand only.
    ``account_id`` is who changes it, None the command line; another destination is told to
    the owners by mail.
    Payouts that are on their way keep their address. The address is checked with the
    rail, so it opens its own transaction. Raises AddressInvalid, UnknownMerchant,
    InvalidRequest, PayoutsUnavailable.
    """
    if (threshold_sat or 0) < 0 or (every_s or 0) < 0:
        raise InvalidRequest(_("The threshold and the time between payouts cannot be negative."))
    session.rollback()
    normal = _receiving_address(deps, address) if address else None
    with write_transaction(session):
        merchant = lock_merchant(session, merchant_id)
        before = payout_terms(merchant)
        if address is not None:
            merchant.payout_address = normal
        if threshold_sat is not None:
            merchant.payout_threshold_msat = threshold_sat * MSAT_PER_SAT
        if every_s is not None:
            merchant.payout_every_s = every_s
        after = payout_terms(merchant)
        if after != before:
            note_money_place(
                deps, session, merchant.id, "payout.terms_changed", account_id, before, after
            )
        session.flush()
        return merchant


def payout_terms(merchant: Merchant) -> dict[str, object]:
    """Return where, from which balance and how often a merchant is paid, for the log."""
    return {
        "address": merchant.payout_address,
        "threshold_msat": merchant.payout_threshold_msat,
        "every_s": merchant.payout_every_s,
    }


def _receiving_address(deps: Deps, text: str) -> str:
    normal = find_rail(deps, text)[1]
    if looks_like_invoice(normal):
        raise AddressInvalid(
            _("An invoice can be paid once only. Give a Bitcoin or a Lightning address.")
        )
    return normal


def request_merchant_payout(
    deps: Deps,
    session: Session,
    merchant_id: str,
    *,
    amount_sat: int | None = None,
    idempotency_key: str | None = None,
    account_id: str | None = None,
) -> Payout:
    """Reserve a payout to the merchant's address: an amount, or all that can go now (None).

    Sales that are not confirmed or can be undone stay (``payable_msat``). The merchant pays the
    network's fee. The same key returns the same payout. After a restored backup it is held
    until an operator lets it go. ``account_id`` is who asks, for the log. Opens its transaction.
    Raises UnknownMerchant, PayoutAddressMissing, MerchantBalanceTooLow, PayoutLimit,
    AddressInvalid, PayoutsUnavailable.
    """
    session.rollback()
    account = chart.merchant(merchant_id)
    key = idempotency_key or f"once:{secrets.token_urlsafe(16)}"
    earlier = earlier_payout(session, account, key)
    if earlier is not None:
        return earlier
    address = _stored_address(session, merchant_id)
    held_msat = payable_msat(deps, session, merchant_id)
    session.rollback()
    wished_msat = None if amount_sat is None else amount_sat * MSAT_PER_SAT
    destination = _destination(deps, address, wished_msat, held_msat)
    with write_transaction(session):
        merchant = lock_merchant(session, merchant_id)
        earlier = earlier_payout(session, account, key)
        if earlier is not None:
            return earlier
        if merchant.payout_address != address:
            raise PayoutAddressMissing(_("The payout address was changed just now; ask again."))
        amount_msat = wished_msat or _all_msat(deps, session, merchant_id, destination)
        wanted = PayoutRequest(account, destination, amount_msat, key)
        require_payable(deps, session, merchant_id, wanted.total_msat)
        payout = open_payout(deps, session, wanted)
        hold_for_merchant(deps, session, payout, merchant_id)
        if account_id is not None:
            _note_asked(deps, session, merchant_id, account_id, payout)
        return payout


def _destination(deps: Deps, address: str, wished_msat: int | None, held_msat: int) -> Destination:
    destination = find_destination(deps, address, wished_msat)
    if wished_msat is not None:
        return destination
    # The fee of the most there is now suffices for what is left of it later.
    return replace(destination, fee_msat=all_of_it(deps, destination, held_msat)[1])


def _stored_address(session: Session, merchant_id: str) -> str:
    address = get_merchant(session, merchant_id).payout_address
    if address is None:
        raise PayoutAddressMissing(_("No payout address is stored for this merchant."))
    return address


def _note_asked(
    deps: Deps, session: Session, merchant_id: str, account_id: str, payout: Payout
) -> None:
    note(
        deps,
        session,
        "payout.asked",
        merchant_id=merchant_id,
        account_id=account_id,
        subject=payout.id,
        amount_msat=payout.amount_msat,
    )


def _all_msat(deps: Deps, session: Session, merchant_id: str, destination: Destination) -> int:
    """Return what can go, less the fee, as far as the day's limit goes, in whole sats."""
    held_msat, fee_msat = payable_msat(deps, session, merchant_id), destination.fee_msat
    if held_msat - fee_msat < least_msat(deps, destination.rail):
        raise MerchantBalanceTooLow(
            f"Of {format_sat(held_msat)} that can be paid out now the fee takes up to "
            f"{format_sat(fee_msat)}; too little is left to be sent."
        )
    left_msat = left_today_msat(deps, session, chart.merchant(merchant_id))
    return whole_sats(min(held_msat - fee_msat, left_msat))


def schedule_payouts(deps: Deps, session: Session) -> int:
    """Reserve the payouts that are due by the merchants' terms; return how many.

    Opens its own transactions. Whatever one merchant's payout lacks does not keep the
    others from theirs; the next round tries again.
    """
    due = _due(deps, session)
    session.rollback()
    made = 0
    for merchant_id in due:
        try:
            request_merchant_payout(deps, session, merchant_id)
        except BitcacheError as error:
            # A small balance or a full day is no news; the rest may need the operator.
            is_usual = isinstance(error, MerchantBalanceTooLow | PayoutLimit)
            level = logging.INFO if is_usual else logging.WARNING
            log.log(level, "merchant=%s is not paid out: %s", merchant_id, error)
        else:
            made += 1
    return made


def _due(deps: Deps, session: Session) -> list[str]:
    """Return the merchants whose time and threshold have come.

    While one of theirs is held no other comes on top.
    """
    held = select(Payout.owner_account).where(
        Payout.held_at.is_not(None), Payout.state.in_(OPEN_STATES)
    )
    newest = (
        select(Payout.owner_account, func.max(Payout.created_at).label("at"))
        .where(Payout.state.in_(COUNTED_STATES))
        .group_by(Payout.owner_account)
        .subquery()
    )
    rows = session.execute(
        select(Merchant, newest.c.at)
        .outerjoin(newest, newest.c.owner_account == "merchant:" + Merchant.id)
        .where(
            Merchant.payout_every_s > 0,
            Merchant.payout_address.is_not(None),
            ("merchant:" + Merchant.id).not_in(held),
        )
        .order_by(Merchant.id)
    ).all()
    now = deps.clock()
    due = []
    for merchant, at in rows:
        # A time in the future comes from a clock that was put back.
        if at is not None and 0 <= now - at < merchant.payout_every_s:
            continue
        held_msat = payable_msat(deps, session, merchant.id)
        if held_msat > 0 and held_msat >= merchant.payout_threshold_msat:
            due.append(merchant.id)
    return due
