"""One item, one amount, fixed now."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import OriginNotAllowed, UnknownInvoice
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import get_offer
from bitcache_server.services.offers import check_rail
from bitcache_server.services.origins import origins_of
from bitcache_server.services.paging import Page, newest_first
from bitcache_server.services.quotes import quote
from bitcache_server.services.request_payment import request_payment
from bitcache_server.tokens.secrets import new_id
from bitcache_server.tokens.verifier import check_challenge_format

#: Of an invoice that nothing has happened to; a payment request makes the second.
FIRST_VERSION = 1


@dataclass(frozen=True)
class InvoiceOrder:
    """What a reader asks for. ``origin`` is the page's, None for our own pages."""

    item_id: str
    challenge: str
    rail: str | None = None
    origin: str | None = None


def create_invoice(deps: Deps, session: Session, order: InvoiceOrder) -> Invoice:
    """Create an invoice inside the caller's transaction.

    Only with a ``rail`` is an address given out at once; otherwise an unpaid
    invoice costs one row and nothing else.
    """
    check_challenge_format(order.challenge)
    item, merchant = get_offer(session, order.item_id)
    check_origin(deps, session, item.site_id, order.origin)
    if item.file_path is not None:
        # Nobody pays for a file that is not there.
        deps.files.describe(item.file_path)
    invoice = _new_invoice(deps, session, item, merchant, order.challenge)
    if order.rail is not None:
        check_rail(deps, session, merchant, order.rail, invoice.amount_msat)
    session.add(invoice)
    session.flush()
    if order.rail is not None:
        request_payment(deps, session, invoice, order.rail)
    return invoice


def _new_invoice(
    deps: Deps, session: Session, item: Item, merchant: Merchant, challenge: str
) -> Invoice:
    priced = quote(deps, session, item.price_currency, item.price_amount)
    amount_msat = priced.must()
    now = deps.clock()
    return Invoice(
        id=new_id("in"),
        item_id=item.id,
        site_id=item.site_id,
        merchant_id=merchant.id,
        direct=merchant.descriptor is not None,
        amount_msat=amount_msat,
        price_currency=item.price_currency,
        price_amount=item.price_amount,
        rate_price_per_btc=priced.rate.price_per_btc if priced.rate else None,
        rate_as_of=priced.rate.as_of if priced.rate else None,
        challenge=challenge,
        state=InvoiceState.OPEN.value,
        marks="",
        received_msat=0,
        missing_msat=amount_msat,
        credit_msat=0,
        redeemed_msat=0,
        created_at=now,
        expires_at=now + deps.settings.invoice_lifetime_s,
        changed_at=now,
        version=FIRST_VERSION,
    )


def check_origin(deps: Deps, session: Session, site_id: str, origin: str | None) -> None:
    """Raise OriginNotAllowed for a page that is neither the site's nor our own."""
    if origin is None or origin == deps.settings.public_url:
        return
    if origin not in origins_of(session, site_id):
        raise OriginNotAllowed(
            f"{origin[:200]} is not an origin of this item's site. "
            "`bitcache site origins` shows and changes them."
        )


def get_invoice(session: Session, invoice_id: str) -> Invoice:
    """Return the invoice of an item; raise UnknownInvoice, also for a reader's top-up."""
    invoice = find_invoice(session, invoice_id)
    if invoice.wallet_id is not None:
        raise _unknown(invoice_id)
    return invoice


def find_invoice(session: Session, invoice_id: str) -> Invoice:
    """Return an invoice, be it of an item or a top-up; raise UnknownInvoice."""
    invoice = session.get(Invoice, invoice_id)
    if invoice is None:
        raise _unknown(invoice_id)
    return invoice


def _unknown(invoice_id: str) -> UnknownInvoice:
    return UnknownInvoice(f"There is no invoice {invoice_id[:64]!r}.")


def list_invoices(session: Session, site: Site, cursor: str | None, limit: int) -> Page[Invoice]:
    """Return the invoices of a site, newest first."""
    return newest_first(session, Invoice, [Invoice.site_id == site.id], cursor, limit)
