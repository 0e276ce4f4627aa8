"""A reader pays money in: an invoice without an item, whose money becomes their balance."""

import secrets
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.money import MSAT_PER_SAT, msat_to_sat_ceil
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.sales import Invoice
from bitcache_server.services.create_invoice import give_address, new_invoice, require_offer
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoices import find_invoice, unknown_invoice
from bitcache_server.services.offers import account_of, floor_msat, rails_for
from bitcache_server.services.wallets import require_open_wallet
from bitcache_server.tokens.verifier import challenge_of

#: How many unpaid codes a wallet may have that have not expired.
OPEN_TOP_UPS = 3


def top_up_rails(deps: Deps, session: Session, amount_sat: int) -> tuple[str, ...]:
    """Return the rails over which an amount can be paid in now, best first."""
    return rails_for(deps, session, None, amount_sat * MSAT_PER_SAT)


def smallest_sat(deps: Deps, session: Session) -> int:
    """Return the smallest amount that can be paid in now: on-chain it follows the fees."""
    floors = [
        floor_msat(deps, name, session.get(RailStatus, name))
        for name in deps.rails
        if account_of(deps, None, name) is not None
    ]
    floor_sat = msat_to_sat_ceil(min(floors, default=0))
    return max(deps.settings.top_up_min_sat, floor_sat)


def create_top_up(
    deps: Deps, session: Session, wallet_id: str, amount_sat: int, rail: str
) -> Invoice:
    """Create an invoice that fills a wallet, inside the caller's transaction.

    The amount is what the reader is asked for; whatever arrives becomes theirs, less or
    more or late. ``rail`` may be ``any``; what asks a node is left to ``ask_for_payment``,
    which the caller calls after the transaction. Raises InvalidRequest outside the
    operator's limits and while too many others of this wallet are unpaid, UnknownWallet,
    and what an invoice over this rail raises.
    """
    settings, least_sat = deps.settings, smallest_sat(deps, session)
    if not least_sat <= amount_sat <= settings.top_up_max_sat:
        raise InvalidRequest(
            f"Choose an amount from {least_sat:,} to {settings.top_up_max_sat:,} sats."
        )
    require_open_wallet(session, wallet_id)
    _require_few_open(deps, session, wallet_id)
    amount_msat = amount_sat * MSAT_PER_SAT
    require_offer(deps, session, None, rail, amount_msat)
    # There is nothing to collect, so nobody keeps the verifier.
    challenge = challenge_of(secrets.token_urlsafe(32))
    invoice = new_invoice(deps, amount_msat, challenge, wallet_id=wallet_id)
    session.add(invoice)
    session.flush()
    give_address(deps, session, invoice, rail)
    return invoice


def _require_few_open(deps: Deps, session: Session, wallet_id: str) -> None:
    """Raise InvalidRequest while a wallet holds many addresses to which nothing came.

    They are kept for it longer than others, so one reader must not take them all.
    """
    query = select(func.count()).where(
        Invoice.wallet_id == wallet_id,
        Invoice.received_msat == 0,
        Invoice.expires_at + deps.settings.late_grace_s >= deps.clock(),
    )
    if (session.scalar(query) or 0) >= OPEN_TOP_UPS:
        raise InvalidRequest(
            f"{OPEN_TOP_UPS} codes of yours wait for a payment. Pay one of them, or wait "
            "until they have expired."
        )


def waiting_top_ups(session: Session, wallet_id: str) -> Sequence[Invoice]:
    """Return the top-ups whose money was seen but does not count yet, newest first."""
    query = (
        select(Invoice)
        .where(
            Invoice.wallet_id == wallet_id,
            Invoice.received_msat > Invoice.claimed_msat + Invoice.credit_msat,
        )
        .order_by(Invoice.created_at.desc(), Invoice.id)
    )
    return session.scalars(query.execution_options(populate_existing=True)).all()


def get_top_up(session: Session, wallet_id: str, invoice_id: str) -> Invoice:
    """Return a top-up of this wallet; raise UnknownInvoice for everybody else's."""
    invoice = find_invoice(session, invoice_id)
    if invoice.wallet_id != wallet_id:
        raise unknown_invoice(invoice_id)
    return invoice
