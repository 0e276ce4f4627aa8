"""Sell to machines (L402): show a bill, and open an item for who shows that it was paid.

The bill's invoice is one like any other: it settles and is booked in the normal way. Nobody
knows the verifier behind its challenge; the preimage of its payment is what opens the item.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import case, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import L402Invalid, PaymentRequired
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.l402 import L402Bill, L402Use
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.services.claim_balance import move_credit
from bitcache_server.services.collect import sell_from_credit
from bitcache_server.services.create_invoice import InvoiceOrder, create_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoices import unknown_invoice
from bitcache_server.services.offers import account_of
from bitcache_server.services.request_payment import ask_for_payment
from bitcache_server.services.settle_invoice import SECONDS_PER_HOUR
from bitcache_server.services.views import PriceView, price_of_invoice
from bitcache_server.tokens.l402 import (
    L402Claims,
    check_l402,
    check_unchanged_l402,
    issue_l402,
)
from bitcache_server.tokens.verifier import challenge_of

RAIL = "lightning"
#: A bill that was paid is shown this much longer: who paid and then lost the connection
#: before the preimage came asks again, and must not be shown another one to pay.
RETRY_S = 120
#: The memory of who was shown which bill; an invoice lives a day at most.
FORGET_AFTER_S = 2 * 86_400
_VERIFIER_BYTES = 32
_CALLER_PURPOSE = b"bitcache.l402.caller.v1"


@dataclass(frozen=True)
class Bill:
    """What a machine is told to pay, and the token that the preimage makes good."""

    token: str
    bolt11: str
    price: PriceView
    expires_at: int
    """Until when it can be paid."""


def is_sold_by_l402(deps: Deps, session: Session, item: Item) -> bool:
    """Return whether anybody could receive a Lightning payment for the item."""
    if RAIL not in deps.rails:
        return False
    merchant_id = session.get_one(Site, item.site_id).merchant_id
    return account_of(deps, session.get_one(Merchant, merchant_id), RAIL) is not None


def open_bill(deps: Deps, session: Session, item: Item, block: str) -> Bill | None:
    """Return the bill that this address block was shown for the item, while it is good."""
    row = session.get(L402Bill, _caller(deps, item, block))
    return None if row is None else _good_bill(deps, session, item, row.invoice_id)


def new_bill(deps: Deps, session: Session, item: Item, block: str) -> Bill:
    """Make an invoice for the item and return its bill; of two callers at once both get one.

    Opens its own transactions and asks the node between them. Raises what
    ``create_invoice`` and ``ask_for_payment`` raise: RailUnavailable, RailError …
    """
    with write_transaction(session):
        invoice_id = _invoice_for(deps, session, item, block)
    ask_for_payment(deps, session, invoice_id, RAIL)
    bill = _good_bill(deps, session, item, invoice_id)
    if bill is None:
        # It expired or the price changed while the node was asked.
        raise PaymentRequired("The price has just changed. Ask again.")
    return bill


def _invoice_for(deps: Deps, session: Session, item: Item, block: str) -> str:
    caller, now = _caller(deps, item, block), deps.clock()
    insert_missing(session, L402Bill, caller=caller, invoice_id="", created_at=now)
    query = select(L402Bill).where(L402Bill.caller == caller).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one()
    known = session.get(Invoice, row.invoice_id)
    if known is None or not _is_good(deps, item, known):
        verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
        order = InvoiceOrder(item.id, challenge_of(verifier), RAIL)
        known = create_invoice(deps, session, order)
        row.invoice_id, row.created_at = known.id, now
    return known.id


def _is_good(deps: Deps, item: Item, invoice: Invoice) -> bool:
    """Return whether an invoice is still the bill for the item at its price."""
    now = deps.clock()
    if invoice.state == InvoiceState.PAID:
        return invoice.paid_at is not None and now < invoice.paid_at + RETRY_S
    priced_now = (item.price_currency, item.price_amount)
    at_its_price = (invoice.price_currency, invoice.price_amount) == priced_now
    return invoice.state == InvoiceState.OPEN and now <= invoice.expires_at and at_its_price


def _good_bill(deps: Deps, session: Session, item: Item, invoice_id: str) -> Bill | None:
    invoice = session.get(Invoice, invoice_id, populate_existing=True)
    request = session.get(RequestRow, (invoice_id, RAIL), populate_existing=True)
    if invoice is None or request is None or not _is_good(deps, item, invoice):
        return None
    settings = deps.settings
    # From the last moment at which it can be paid, so that nobody gets less than the time
    # they paid for; when that was, the token cannot know.
    hours = item.access_hours
    lasts_s = hours * SECONDS_PER_HOUR if hours else settings.l402_lifetime_s
    claims = L402Claims(
        payment_hash=request.target,
        invoice=invoice.id,
        item=item.id,
        amount_msat=invoice.amount_msat,
        expires_at=invoice.expires_at + lasts_s,
        max_uses=settings.l402_max_uses or None,
    )
    token = issue_l402(settings.secret_key.get_secret_value(), settings.public_url, claims)
    price = price_of_invoice(deps, invoice)
    return Bill(token, request.destination, price, invoice.expires_at)


def open_with_l402(
    deps: Deps, session: Session, item: Item, token: str, preimage: str
) -> L402Claims:
    """Return the claims of a token that opens the item now.

    The preimage proves the payment, also while our books do not have it yet. Raises
    PaymentRequired where a new payment is the way on, L402Invalid where it is not.
    """
    secret_key = deps.settings.secret_key.get_secret_value()
    claims = check_l402(secret_key, token, preimage, item=item.id, now=deps.clock())
    invoice = session.get(Invoice, claims.invoice)
    if invoice is None:
        return claims
    if invoice.refunded_at is not None:
        raise PaymentRequired("The purchase was given back.")
    if _is_unsold_credit(invoice, claims):
        with write_transaction(session):
            _sell_late(deps, session, claims)
    if _bought_nothing(session, invoice, claims):
        raise PaymentRequired(
            "What was paid bought nothing: it was too little, or was moved to a balance."
        )
    return claims


def claim_l402_credit(
    deps: Deps, session: Session, wallet_id: str, token: str, preimage: str
) -> int:
    """Move what bought nothing of an L402 payment to a wallet, and return the msat.

    It came late, on top, or was given back. Who has token and preimage has paid, or was
    given what is as good as a receipt code; a token that was weakened before it was passed
    on is not. Runs inside the caller's transaction. Raises PaymentRequired for what is no
    token of ours, L402Invalid, UnknownInvoice, and what ``move_credit`` raises.
    """
    secret_key = deps.settings.secret_key.get_secret_value()
    claims = check_unchanged_l402(secret_key, token, preimage)
    # A caveat cannot be taken away, so one without a limit is whole, whatever holds now.
    if claims.max_uses not in (None, deps.settings.l402_max_uses or None):
        raise L402Invalid("A limit of uses was added to this token; only the whole one will do.")
    invoice = _locked(session, claims.invoice)
    if invoice is None:
        raise unknown_invoice(claims.invoice)
    return move_credit(deps, session, wallet_id, invoice)


def _is_unsold_credit(invoice: Invoice, claims: L402Claims) -> bool:
    """Return whether the payment came after the invoice had expired, and sold nothing yet."""
    return (
        invoice.state == InvoiceState.EXPIRED
        and not invoice.redeemed_msat
        and invoice.credit_msat >= claims.amount_msat
    )


def _bought_nothing(session: Session, invoice: Invoice, claims: L402Claims) -> bool:
    """Return whether the token's payment is booked, and no sale came of it.

    One that is not booked yet opens by its preimage alone.
    """
    if not _sold_nothing(invoice):
        return False
    if session.get(Payment, (RAIL, claims.payment_hash), populate_existing=True) is None:
        return False
    # Clients come back in the moment of the settlement: it may have been booked, and have
    # sold, since the invoice was read.
    session.refresh(invoice)
    return _sold_nothing(invoice)


def _sold_nothing(invoice: Invoice) -> bool:
    return invoice.sale_group is None and not invoice.redeemed_msat


def _locked(session: Session, invoice_id: str) -> Invoice | None:
    query = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _sell_late(deps: Deps, session: Session, claims: L402Claims) -> None:
    """Sell the item at the token's price from what came a moment too late."""
    invoice = _locked(session, claims.invoice)
    if invoice is not None and _is_unsold_credit(invoice, claims):
        sell_from_credit(deps, session, invoice, claims.amount_msat)


def count_use(deps: Deps, session: Session, claims: L402Claims) -> None:
    """Count one use of a token that allows so many; raise PaymentRequired when all are gone.

    A use lasts as long as a download link does: a client that lost the answer asks again,
    and one that fetches a file in ranges asks many times, at whatever byte it likes. One
    statement, so that two requests at once never share the last use. Opens its transaction.
    """
    if claims.max_uses is None:
        return
    if claims.max_uses < 1:
        raise L402Invalid("The token's holder allowed it no use.")
    now = deps.clock()
    until = now + deps.settings.download_link_lifetime_s
    insert = postgresql.insert if _is_postgresql(session) else sqlite.insert
    goes_on = L402Use.open_until > now
    statement = (
        insert(L402Use)
        .values(invoice_id=claims.invoice, used=1, open_until=until)
        .on_conflict_do_update(
            index_elements=[L402Use.invoice_id],
            set_={
                "used": L402Use.used + case((goes_on, 0), else_=1),
                "open_until": case((goes_on, L402Use.open_until), else_=until),
            },
            where=goes_on | (L402Use.used < claims.max_uses),
        )
        .returning(L402Use.used)
    )
    with write_transaction(session):
        counted = session.execute(statement).first()
    if counted is None:
        raise PaymentRequired(f"The token was used {claims.max_uses} times, which is all.")


def forget_l402_bills(deps: Deps, session: Session) -> int:
    """Forget who was shown bills that are long over; return how many. Opens its transaction."""
    old = delete(L402Bill).where(L402Bill.created_at < deps.clock() - FORGET_AFTER_S)
    with write_transaction(session):
        return len(session.execute(old.returning(L402Bill.caller)).all())


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _caller(deps: Deps, item: Item, block: str) -> str:
    """Return a keyed hash: nobody learns from the database who read what."""
    secret_key = deps.settings.secret_key.get_secret_value()
    key = hmac.new(secret_key.encode(), _CALLER_PURPOSE, hashlib.sha256).digest()
    return hmac.new(key, f"{item.id}:{block}".encode(), hashlib.sha256).hexdigest()
