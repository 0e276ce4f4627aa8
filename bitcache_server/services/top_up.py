"""A reader pays money in: an invoice without an item, whose money becomes their balance."""

import secrets
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, UnknownInvoice
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import MSAT_PER_SAT, SAT, msat_to_sat_ceil
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.sales import Invoice
from bitcache_server.services.create_invoice import FIRST_VERSION, find_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.offers import check_rail, floor_msat, rails_for
from bitcache_server.services.request_payment import request_payment
from bitcache_server.services.wallets import require_open_wallet
from bitcache_server.tokens.secrets import new_id
from bitcache_server.tokens.verifier import challenge_of

#: How many unpaid codes a wallet may have that have not expired.
OPEN_TOP_UPS = 3


def top_up_rails(deps: Deps, session: Session, amount_sat: int) -> tuple[str, ...]:
    """Return the rails over which an amount can be paid in now, best first."""
    return rails_for(deps, session, None, amount_sat * MSAT_PER_SAT)


def smallest_sat(deps: Deps, session: Session) -> int:
    """Return the smallest amount that can be paid in now: it follows the network's fees."""
    floors = [floor_msat(deps, session.get(RailStatus, name)) for name in deps.rails]
    floor_sat = msat_to_sat_ceil(min(floors, default=0))
    return max(deps.settings.top_up_min_sat, floor_sat)


def create_top_up(
    deps: Deps, session: Session, wallet_id: str, amount_sat: int, rail: str
) -> Invoice:
    """Create an invoice that fills a wallet, inside the caller's transaction.

    The amount is what the reader is asked for; whatever arrives becomes theirs, less or
    more or late. Raises InvalidRequest outside the operator's limits and while too many
    others of this wallet are unpaid, UnknownWallet, and what an invoice over this rail raises.
    """
    settings, least_sat = deps.settings, smallest_sat(deps, session)
    if not least_sat <= amount_sat <= settings.top_up_max_sat:
        raise InvalidRequest(
            f"Choose an amount from {least_sat:,} to {settings.top_up_max_sat:,} sats."
        )
    require_open_wallet(session, wallet_id)
    _require_few_open(deps, session, wallet_id)
    check_rail(deps, session, None, rail, amount_sat * MSAT_PER_SAT)
    invoice = _new_invoice(deps, wallet_id, amount_sat)
    session.add(invoice)
    session.flush()
    request_payment(deps, session, invoice, rail)
    return invoice


def _new_invoice(deps: Deps, wallet_id: str, amount_sat: int) -> Invoice:
    amount_msat, now = amount_sat * MSAT_PER_SAT, deps.clock()
    return Invoice(
        id=new_id("in"),
        wallet_id=wallet_id,
        item_id="",
        site_id="",
        merchant_id="",
        direct=False,
        amount_msat=amount_msat,
        price_currency=SAT,
        price_amount=amount_sat,
        # There is nothing to collect, so nobody keeps the verifier.
        challenge=challenge_of(secrets.token_urlsafe(32)),
        state=InvoiceState.OPEN.value,
        marks="",
        received_msat=0,
        missing_msat=amount_msat,
        credit_msat=0,
        redeemed_msat=0,
        claimed_msat=0,
        created_at=now,
        expires_at=now + deps.settings.invoice_lifetime_s,
        changed_at=now,
        version=FIRST_VERSION,
    )


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
        raise UnknownInvoice(f"There is no invoice {invoice_id[:64]!r}.")
    return invoice
