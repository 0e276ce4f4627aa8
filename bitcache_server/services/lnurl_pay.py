"""Money that anybody sends to a merchant's Lightning address (LUD-06, LUD-12, LUD-16, LUD-21)."""

import json
import secrets
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, NotFound
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.rail import RAIL_NAME
from bitcache_server.services.create_invoice import new_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.handles import address_of, merchant_of_handle
from bitcache_server.services.offers import check_rail
from bitcache_server.services.request_payment import ask_for_payment
from bitcache_server.tokens.verifier import challenge_of

MIN_MSAT = MSAT_PER_SAT
MAX_COMMENT_CHARS = 500


@dataclass(frozen=True)
class AddressTerms:
    """What a Lightning address of ours takes now."""

    min_msat: int
    max_msat: int
    metadata: str
    """JSON to the letter: the invoice commits to its SHA-256."""


@dataclass(frozen=True)
class AddressInvoice:
    """An invoice that was made for somebody's wallet."""

    bolt11: str
    payment_hash: str
    payee: str
    """The merchant's name, for the words of thanks."""


@dataclass(frozen=True)
class PaymentProof:
    """Whether an invoice of ours was paid (LUD-21)."""

    settled: bool
    preimage: str | None
    bolt11: str


def address_terms(deps: Deps, session: Session, name: str) -> AddressTerms:
    """Return what a name takes; raise UnknownMerchant, RailUnavailable (also: no room)."""
    merchant = merchant_of_handle(session, name)
    check_rail(deps, session, merchant, RAIL_NAME, MIN_MSAT)
    status = session.get(RailStatus, RAIL_NAME)
    room_msat = status.receivable_msat if status else None
    max_msat = deps.settings.top_up_max_sat * MSAT_PER_SAT
    if room_msat is not None:
        # Whole sats, rounded down: more could not arrive.
        max_msat = min(max_msat, room_msat // MSAT_PER_SAT * MSAT_PER_SAT)
    return AddressTerms(MIN_MSAT, max(max_msat, MIN_MSAT), _metadata(deps, merchant))


def invoice_for_address(
    deps: Deps, session: Session, name: str, amount_msat: int, comment: str
) -> AddressInvoice:
    """Return an invoice for exactly this amount. Opens its own transactions.

    Raises InvalidRequest for an amount or comment that the name does not take, before
    anything is made; UnknownMerchant, RailUnavailable, RailError.
    """
    terms = address_terms(deps, session, name)
    _check_order(terms, amount_msat, comment)
    with write_transaction(session):
        merchant = merchant_of_handle(session, name)
        # Nobody collects anything with it, so nobody keeps the verifier.
        challenge = challenge_of(secrets.token_urlsafe(32))
        invoice = new_invoice(
            deps, amount_msat, challenge, merchant=merchant, comment=comment or None
        )
        session.add(invoice)
        session.flush()
        invoice_id, payee = invoice.id, merchant.name
    ask_for_payment(deps, session, invoice_id, RAIL_NAME, description=terms.metadata)
    request = session.get_one(RequestRow, (invoice_id, RAIL_NAME))
    return AddressInvoice(request.destination, request.target, payee)


def payment_proof(session: Session, payment_hash: str) -> PaymentProof:
    """Return whether a Lightning invoice that we gave out was paid; raise NotFound.

    The preimage is told only for money sent to an address. For goods it is the payer's
    proof of purchase, and whoever merely saw the invoice must not get it here.
    """
    query = (
        select(RequestRow.destination, Invoice.item_id, Invoice.wallet_id, Payment.settled)
        .add_columns(Payment.raw)
        .join(Invoice, Invoice.id == RequestRow.invoice_id)
        .outerjoin(
            Payment,
            (Payment.rail == RequestRow.rail) & (Payment.reference == RequestRow.target),
        )
        .where(RequestRow.rail == RAIL_NAME, RequestRow.target == payment_hash.lower())
    )
    found = session.execute(query).first()
    if found is None:
        raise NotFound("There is no invoice with this payment hash.")
    sent_to_address = not found.item_id and found.wallet_id is None
    settled = bool(found.settled)
    preimage = found.raw if settled and sent_to_address else ""
    return PaymentProof(settled, preimage or None, found.destination)


def _metadata(deps: Deps, merchant: Merchant) -> str:
    entries = [
        ["text/plain", f"Payment to {merchant.name}"],
        ["text/identifier", address_of(deps.settings, merchant)],
    ]
    return json.dumps(entries, separators=(",", ":"), ensure_ascii=False)


def _check_order(terms: AddressTerms, amount_msat: int, comment: str) -> None:
    if not terms.min_msat <= amount_msat <= terms.max_msat:
        raise InvalidRequest(
            f"This address takes {format_sat(terms.min_msat)} to {format_sat(terms.max_msat)}."
        )
    if amount_msat % MSAT_PER_SAT:
        # Some nodes would round, and the payer must get what they asked for (LUD-06).
        raise InvalidRequest("This address takes whole sats: the amount must end in 000.")
    if len(comment) > MAX_COMMENT_CHARS:
        raise InvalidRequest(f"A comment has at most {MAX_COMMENT_CHARS} characters.")
