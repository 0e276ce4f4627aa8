"""Collect what was paid for: the verifier is the only thing that opens it (RFC 7636)."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    InvoiceNotPaid,
    NoCredit,
    PurchaseEnded,
    UnknownPurchase,
    VerifierMismatch,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.ledger import recipes
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.ledger import Grant
from bitcache_server.models.sales import Invoice
from bitcache_server.services.create_invoice import get_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.order_sales import order_to_sell, sold
from bitcache_server.services.quotes import quote
from bitcache_server.services.sale_parts import parts_of_invoice
from bitcache_server.services.settle_invoice import give_grant
from bitcache_server.services.site_keys import signer_for
from bitcache_server.tokens.grants import GrantClaims
from bitcache_server.tokens.holders import holder_name
from bitcache_server.tokens.receipts import sign_purchase
from bitcache_server.tokens.verifier import matches


@dataclass(frozen=True)
class Collected:
    """A grant token, a receipt that can be checked offline, and until when it opens."""

    grant: str
    receipt: str
    item_id: str
    expires_at: int | None
    issued_at: int
    price_msat: int
    """What was paid for it: what came late is redeemed at another price than the invoice's."""


def claim_grant(deps: Deps, session: Session, invoice_id: str, verifier: str) -> Collected:
    """Return the grant of a paid invoice; the same call may be made again for ever.

    Reads only. Raises VerifierMismatch before it says anything about the state.
    """
    invoice = verified_invoice(session, invoice_id, verifier)
    grant = _live_grant(session, invoice)
    if grant is None:
        raise InvoiceNotPaid(_why_not(invoice))
    return _collected(deps, session, grant, invoice.id, paid_by=invoice.id)


def collect_of_wallet(deps: Deps, session: Session, wallet_id: str, item_id: str) -> Collected:
    """Return the grant and receipt of what a wallet has bought. Reads only.

    The caller knows that the wallet's reader asks. The receipt names the ledger group
    where another names the invoice. Raises UnknownPurchase, and PurchaseEnded when it is
    over or was given back.
    """
    newest = select(Grant).where(Grant.owner_id == wallet_id, Grant.item_id == item_id)
    newest = newest.order_by(Grant.revision.desc()).limit(1)
    grant = session.scalar(newest.execution_options(populate_existing=True))
    if grant is None:
        raise UnknownPurchase("This wallet has not bought that.")
    ended = grant.expires_at is not None and grant.expires_at <= deps.clock()
    if ended or grant.revoked_at is not None:
        raise PurchaseEnded()
    return _collected_by_wallet(deps, session, grant)


def receipt_of_wallet(
    deps: Deps, session: Session, wallet_id: str, item_id: str, revision: int
) -> str:
    """Return the receipt of a wallet's purchase, also of one that is over.

    Raises UnknownPurchase, also for one that was taken or given back.
    """
    grant = session.get(Grant, (wallet_id, item_id, revision), populate_existing=True)
    if grant is None or grant.revoked_at is not None:
        raise UnknownPurchase("There is no receipt: this was not bought, or it was given back.")
    return _collected_by_wallet(deps, session, grant).receipt


def redeem_credit(deps: Deps, session: Session, invoice_id: str, verifier: str) -> Collected:
    """Buy the invoice's item at today's price from money that came late or short.

    Runs inside the caller's transaction; a second call returns the same grant.
    """
    invoice = verified_invoice(session, invoice_id, verifier, lock=True)
    grant = _live_grant(session, invoice)
    if grant is None or (grant.expires_at is not None and grant.expires_at <= deps.clock()):
        item = session.get_one(Item, invoice.item_id)
        price_msat = quote(deps, session, item.price_currency, item.price_amount).must()
        grant = sell_from_credit(deps, session, invoice, price_msat)
    return _collected(deps, session, grant, invoice.id, paid_by=invoice.id)


def verified_invoice(
    session: Session, invoice_id: str, verifier: str, lock: bool = False
) -> Invoice:
    """Return the invoice that a verifier belongs to; raise UnknownInvoice, VerifierMismatch."""
    if lock:
        query = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
        session.scalar(query.execution_options(populate_existing=True))
    invoice = get_invoice(session, invoice_id)
    if not matches(verifier, invoice.challenge):
        raise VerifierMismatch("Only who created this invoice can collect it.")
    return invoice


def _live_grant(session: Session, invoice: Invoice) -> Grant | None:
    query = select(Grant).where(
        Grant.owner_id == invoice.id, Grant.item_id == invoice.item_id, Grant.revoked_at.is_(None)
    )
    return session.scalar(query.order_by(Grant.revision.desc()).limit(1))


def _why_not(invoice: Invoice) -> str:
    if invoice.state == InvoiceState.SEEN:
        return "The payment was seen and waits for confirmations."
    if invoice.refunded_at is not None:
        return "The purchase was given back. Its money is kept as credit for this invoice."
    if invoice.credit_msat > 0:
        return "The payment was late or too small. It is kept as credit for this invoice."
    if invoice.claimed_msat > 0:
        return "The money of this invoice was moved to a reader's balance."
    return "No sufficient payment has been seen."


def sell_from_credit(deps: Deps, session: Session, invoice: Invoice, price_msat: int) -> Grant:
    """Sell the invoice's item from money that came late or short; raise NoCredit, OrderClosed.

    Runs inside the caller's transaction, which holds the invoice's row.
    """
    if invoice.credit_msat < price_msat:
        raise NoCredit(
            f"The credit is {invoice.credit_msat} msat and the price {price_msat} msat. "
            "Nothing is lost: the credit stays."
        )
    order = order_to_sell(deps, session, invoice.item_id)
    now = deps.clock()
    group_id = recipes.sell(
        session,
        invoice.id,
        parts_of_invoice(deps, session, invoice, price_msat),
        rounding_msat=0,
        now=now,
    )
    invoice.credit_msat -= price_msat
    invoice.redeemed_msat += price_msat
    invoice.changed_at = now
    invoice.version += 1
    if order is not None:
        sold(deps, session, order, invoice.id, group_id, price_msat)
    return give_grant(session, invoice, group_id, price_msat, now)


def _collected_by_wallet(deps: Deps, session: Session, grant: Grant) -> Collected:
    """Return grant and receipt in which the wallet has its name for this merchant."""
    merchant_id = session.get_one(Site, grant.site_id).merchant_id
    secret_key = deps.settings.secret_key.get_secret_value()
    holder = holder_name(secret_key, merchant_id, grant.owner_id)
    return _collected(deps, session, grant, holder, paid_by=grant.group_id or holder)


def _collected(deps: Deps, session: Session, grant: Grant, holder: str, paid_by: str) -> Collected:
    signer = signer_for(deps, session, grant.site_id)
    claims = GrantClaims(
        site=grant.site_id,
        item=grant.item_id,
        holder=holder,
        price_msat=grant.price_msat,
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
        revision=grant.revision,
    )
    signed, receipt = sign_purchase(signer, claims, paid_by)
    return Collected(
        signed, receipt, grant.item_id, grant.expires_at, grant.issued_at, grant.price_msat
    )
