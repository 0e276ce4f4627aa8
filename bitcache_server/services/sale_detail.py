"""One sale with all that is known of it, and giving it back."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RefundNotOffered
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.ledger import Grant
from bitcache_server.models.payouts import Refund
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.models.sales_book import Sale
from bitcache_server.models.webhooks import WebhookDelivery, WebhookEndpoint, WebhookEvent
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.merchants import site_of_merchant
from bitcache_server.services.refund import refund_by_merchant
from bitcache_server.services.sales_list import sale_of
from bitcache_server.tokens.holders import buyer_of_holder


@dataclass(frozen=True)
class Share:
    """What a co-author got of the sale."""

    name: str
    net_msat: int


@dataclass(frozen=True)
class GrantState:
    """What the buyer may open."""

    revision: int
    issued_at: int
    expires_at: int | None
    revoked_at: int | None
    is_alive: bool


@dataclass(frozen=True)
class Told:
    """An event of the sale on its way to one endpoint."""

    delivery_id: int
    event_type: str
    url: str
    state: str
    attempts: int
    at: int


@dataclass(frozen=True)
class SaleDetail:
    """A sale in full, as the merchant may see it."""

    sale: Sale
    item: Item | None
    """None for what was sent, and for an item of another merchant."""
    site_name: str
    invoice: Invoice | None
    payments: Sequence[Payment]
    shares: Sequence[Share]
    grant: GrantState | None
    refund: Refund | None
    told: Sequence[Told]
    can_refund: bool


def sale_detail(deps: Deps, session: Session, merchant_id: str, sale_id: str) -> SaleDetail:
    """Return a sale in full; raise UnknownSale. Of a share only what is the merchant's own."""
    sale = sale_of(session, merchant_id, sale_id)
    is_own = sale.kind != "share"
    owner_id = _owner(deps, sale)
    site = session.get(Site, sale.site_id) if is_own and sale.site_id else None
    return SaleDetail(
        sale=sale,
        item=session.get(Item, sale.item_id) if is_own and sale.item_id else None,
        site_name=site.name if site else "",
        invoice=session.get(Invoice, sale.invoice_id) if is_own and sale.invoice_id else None,
        payments=_payments(session, sale.invoice_id) if is_own and sale.invoice_id else (),
        shares=_shares(session, sale) if is_own and sale.shares_msat else (),
        grant=_grant(deps, session, owner_id, sale) if is_own and sale.item_id else None,
        refund=session.get(Refund, (owner_id, sale.group_id)) if is_own else None,
        told=_told(session, sale),
        can_refund=can_refund(sale),
    )


def can_refund(sale: Sale) -> bool:
    """Say whether the merchant can give a sale back here: an own one whose money we had."""
    return sale.kind == "sale" and sale.state == "paid" and bool(sale.item_id) and not sale.direct


def refund_sale(
    deps: Deps, session: Session, merchant_id: str, sale_id: str, account_id: str
) -> Refund:
    """Give a sale back to its buyer, inside the caller's write transaction.

    Exactly this sale, also where the buyer bought the item again since. Raises UnknownSale,
    AlreadyRefunded, MerchantBalanceTooLow, UnknownPurchase; RefundNotOffered for a share,
    for what was sent and for what the merchant's own wallet received.
    """
    sale = sale_of(session, merchant_id, sale_id)
    if sale.kind != "sale" or not sale.item_id:
        raise RefundNotOffered("Only a sale of your own items can be given back here.")
    site = site_of_merchant(session, merchant_id, sale.site_id)
    refund = refund_by_merchant(deps, session, site, sale.holder, sale.item_id, sale.group_id)
    note(
        deps,
        session,
        "sale.refunded",
        merchant_id=merchant_id,
        account_id=account_id,
        subject=sale.id,
        amount_msat=refund.amount_msat,
        item=sale.item_id,
    )
    return refund


def _owner(deps: Deps, sale: Sale) -> str:
    """Return the wallet or invoice that bought; the book knows a wallet by its name only."""
    if sale.owner_kind == "invoice":
        return sale.invoice_id
    secret_key = deps.settings.secret_key.get_secret_value()
    return buyer_of_holder(secret_key, sale.merchant_id, sale.holder)


def _payments(session: Session, invoice_id: str) -> Sequence[Payment]:
    query = select(Payment).where(Payment.invoice_id == invoice_id)
    return session.scalars(query.order_by(Payment.arrived_at, Payment.reference)).all()


def _shares(session: Session, sale: Sale) -> list[Share]:
    query = (
        select(Merchant.name, Sale.net_msat)
        .join(Merchant, Merchant.id == Sale.merchant_id)
        .where(Sale.group_id == sale.group_id, Sale.kind == "share")
        .order_by(Merchant.name)
    )
    return [Share(name, net_msat) for name, net_msat in session.execute(query)]


def _grant(deps: Deps, session: Session, owner_id: str, sale: Sale) -> GrantState | None:
    query = select(Grant).where(
        Grant.owner_id == owner_id, Grant.item_id == sale.item_id, Grant.group_id == sale.group_id
    )
    grant = session.scalar(query)
    if grant is None:
        return None
    ended = grant.expires_at is not None and grant.expires_at <= deps.clock()
    return GrantState(
        revision=grant.revision,
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
        revoked_at=grant.revoked_at,
        is_alive=grant.revoked_at is None and not ended,
    )


def _told(session: Session, sale: Sale) -> list[Told]:
    """Return the deliveries of events about this sale, of this merchant's endpoints."""
    query = (
        select(WebhookDelivery, WebhookEvent.type, WebhookEndpoint.url)
        .join(WebhookEvent, WebhookEvent.number == WebhookDelivery.event_number)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(WebhookEvent.subject == sale.id, WebhookEvent.merchant_id == sale.merchant_id)
        .order_by(WebhookDelivery.id.desc())
    )
    return [
        Told(row.id, event_type, url, row.state, row.attempts, row.done_at or row.created_at)
        for row, event_type, url in session.execute(query)
    ]
