"""One item, one amount, fixed now."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import OriginNotAllowed, RailUnavailable
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import SAT, msat_to_sat_ceil
from bitcache_server.models.catalog import ORDER_KIND, Item, Merchant, Site
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoices import find_invoice, unknown_invoice
from bitcache_server.services.items import check_in_stock, check_on_sale, get_offer
from bitcache_server.services.offers import check_rail, offers_for
from bitcache_server.services.order_sales import begin_invoice
from bitcache_server.services.origins import origins_of
from bitcache_server.services.paging import Page, newest_first
from bitcache_server.services.quotes import Quote, quote
from bitcache_server.services.request_payment import ANY, asks_a_node, request_address
from bitcache_server.services.visits import count_started
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
    """A rail, or ``any`` for every one on offer."""
    origin: str | None = None


def create_invoice(deps: Deps, session: Session, order: InvoiceOrder) -> Invoice:
    """Create an invoice inside the caller's transaction.

    Without a ``rail`` an unpaid invoice costs one row and nothing else. A chain rail's
    address is given out at once; what asks a node is left to ``ask_for_payment``, which the
    caller calls after the transaction for any order with a rail.
    """
    check_challenge_format(order.challenge)
    item, merchant = get_offer(session, order.item_id)
    check_origin(deps, session, item.site_id, order.origin)
    check_on_sale(item)
    check_in_stock(deps, item)
    priced = quote(deps, session, item.price_currency, item.price_amount)
    invoice = price_invoice(deps, order, item, merchant, priced)
    if item.kind == ORDER_KIND:
        begin_invoice(deps, session, item, invoice)
    if order.rail is not None:
        require_offer(deps, session, merchant, order.rail, invoice.amount_msat)
    session.add(invoice)
    session.flush()
    give_address(deps, session, invoice, order.rail)
    count_started(deps, item.id)
    return invoice


def price_invoice(
    deps: Deps, order: InvoiceOrder, item: Item, merchant: Merchant, priced: Quote
) -> Invoice:
    """Return the order's invoice, which is in no session yet.

    It keeps the price as the merchant wrote it, and the rate behind the amount. Raises
    RateUnavailable or InvalidPrice.
    """
    invoice = new_invoice(deps, priced.must(), order.challenge, merchant=merchant, item=item)
    invoice.price_currency, invoice.price_amount = item.price_currency, item.price_amount
    if priced.rate is not None:
        invoice.rate_price_per_btc = priced.rate.price_per_btc
        invoice.rate_as_of = priced.rate.as_of
    return invoice


def require_offer(
    deps: Deps, session: Session, merchant: Merchant | None, rail: str, amount_msat: int
) -> None:
    """Raise what stands in the way of an amount over a rail, or over ``any``.

    Said before an invoice is stored: UnknownRail, RailUnavailable, AmountBelowFloor.
    """
    if rail != ANY:
        check_rail(deps, session, merchant, rail, amount_msat)
        return
    offers = offers_for(deps, session, merchant, amount_msat)
    if not offers.rails:
        raise next(iter(offers.refusals), RailUnavailable("No way to pay is switched on."))


def give_address(deps: Deps, session: Session, invoice: Invoice, rail: str | None) -> None:
    """Ask for a chain rail's address in the transaction that stores the invoice."""
    if rail is not None and not asks_a_node(deps, rail):
        request_address(deps, session, invoice, rail)


def new_invoice(
    deps: Deps,
    amount_msat: int,
    challenge: str,
    *,
    merchant: Merchant | None = None,
    item: Item | None = None,
    wallet_id: str | None = None,
    comment: str | None = None,
) -> Invoice:
    """Return an open invoice, priced in sats, that is not in a session yet.

    With an item it sells that; with a wallet it tops that up; with a merchant alone it is
    money that somebody sends them, with a ``comment`` (LUD-12) or without.
    """
    now = deps.clock()
    return Invoice(
        id=new_id("in"),
        wallet_id=wallet_id,
        item_id=item.id if item else "",
        site_id=item.site_id if item else "",
        merchant_id=merchant.id if merchant else "",
        direct=merchant.direct if merchant else False,
        amount_msat=amount_msat,
        price_currency=SAT,
        price_amount=msat_to_sat_ceil(amount_msat),
        challenge=challenge,
        state=InvoiceState.OPEN.value,
        marks="",
        received_msat=0,
        missing_msat=amount_msat,
        credit_msat=0,
        redeemed_msat=0,
        claimed_msat=0,
        comment=comment,
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
    """Return the invoice of an item; raise UnknownInvoice, also for one without an item.

    Those are a reader's top-up, and money that somebody sends to a merchant.
    """
    invoice = find_invoice(session, invoice_id)
    if not invoice.item_id:
        raise unknown_invoice(invoice_id)
    return invoice


def list_invoices(session: Session, site: Site, cursor: str | None, limit: int) -> Page[Invoice]:
    """Return the invoices of a site, newest first."""
    return newest_first(session, Invoice, [Invoice.site_id == site.id], cursor, limit)
