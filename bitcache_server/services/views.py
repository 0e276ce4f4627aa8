"""What the API shows: the JSON of items and invoices, described for OpenAPI."""

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.invoice_state import PaymentFact
from bitcache_server.domain.money import SAT, exponent_of
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.services.deps import Deps
from bitcache_server.services.gifts import gift_on_offer_msat
from bitcache_server.services.offers import rails_for
from bitcache_server.services.quotes import UsedRate, quote
from bitcache_server.services.request_views import (
    RequestView,
    UnifiedView,
    request_views,
    unified_view,
)
from bitcache_server.services.settle_invoice import payment_facts, payments_of


class FiatView(BaseModel):
    """An amount in minor units: 5, USD, 2 is five cents."""

    currency: str
    amount_minor: int
    exponent: int


class RateView(BaseModel):
    """The rate behind an amount, and how old it is."""

    price_per_btc: str
    currency: str
    as_of: int
    age_s: int


class PriceView(BaseModel):
    """A price; ``amount_msat`` is null while fiat has no rate."""

    amount_msat: int | None
    fiat: FiatView | None
    rate: RateView | None


class SiteView(BaseModel):
    """Who sells."""

    id: str
    name: str


class PolicyView(BaseModel):
    """How long a purchase opens the item."""

    type: str = Field(pattern="^(forever|hours)$")
    hours: int | None


class FileView(BaseModel):
    """What is known of a file before it is bought."""

    name: str
    size_bytes: int
    content_type: str


class BalanceView(BaseModel):
    """How the item can be paid from a Bitcache balance, with one click."""

    connect_url: str
    """Where the reader allows the site's page to do so."""
    gift_msat: int
    """Starter credit that a reader without a wallet can take now; 0 when there is none."""
    now: int
    """The server's clock, so that a page can count down by it."""


class ItemView(BaseModel):
    """What everyone may see of an item. Never its locked part."""

    id: str
    kind: str
    title: str
    teaser: str
    external_id: str | None
    site: SiteView
    price: PriceView
    policy: PolicyView
    file: FileView | None
    rails: list[str]
    balance: BalanceView | None
    """None while nothing can be paid from a balance."""
    archived: bool
    """It is not sold any more; what was bought stays readable."""
    open_url: str | None
    """Where the site opens what it holds itself; None: this server holds it."""
    checkout_url: str


class PaymentView(BaseModel):
    """One payment that was seen."""

    reference: str
    rail: str
    amount_msat: int
    confirmations: int
    confirmations_required: int
    state: str
    note: str


class InvoiceView(BaseModel):
    """An invoice as everyone may see it. The id is public and opens nothing."""

    id: str
    item: str
    state: str
    marks: list[str]
    amount_msat: int
    price: PriceView
    created_at: int
    expires_at: int
    now: int
    rails: list[str]
    requests: list[RequestView]
    unified: UnifiedView | None
    payments: list[PaymentView]
    received_msat: int
    missing_msat: int
    credit_msat: int
    version: int
    events_url: str
    checkout_url: str


def item_view(deps: Deps, session: Session, item: Item) -> ItemView:
    """Return the public view of an item."""
    site = session.get_one(Site, item.site_id)
    merchant = session.get_one(Merchant, site.merchant_id)
    priced = quote(deps, session, item.price_currency, item.price_amount)
    file = _file(deps, item)
    archived = item.archived_at is not None
    unsold = archived or (item.kind == "file" and file is None)
    rails = () if unsold else rails_for(deps, session, merchant, priced.amount_msat)
    return ItemView(
        id=item.id,
        kind=item.kind,
        title=item.title,
        teaser=item.teaser,
        external_id=item.external_id,
        site=SiteView(id=site.id, name=site.name),
        price=_price(deps, item.price_currency, item.price_amount, priced.amount_msat, priced.rate),
        policy=PolicyView(
            type="hours" if item.access_hours else "forever", hours=item.access_hours
        ),
        file=file,
        rails=list(rails),
        balance=None if unsold or priced.amount_msat is None else _balance(deps, session),
        archived=archived,
        open_url=item.open_url,
        checkout_url=f"{deps.settings.public_url}/pay/{item.id}",
    )


def _balance(deps: Deps, session: Session) -> BalanceView:
    return BalanceView(
        connect_url=f"{deps.settings.public_url}/wallet/connect",
        gift_msat=gift_on_offer_msat(deps, session),
        now=deps.clock(),
    )


def _file(deps: Deps, item: Item) -> FileView | None:
    """Return what is known of the file; None for an article and for a file that vanished."""
    if item.file_path is None or item.open_url is not None:
        return None
    try:
        stored = deps.files.describe(item.file_path)
    except BitcacheError:
        return None
    return FileView(
        name=stored.name, size_bytes=stored.size_bytes, content_type=stored.content_type
    )


def _price(
    deps: Deps, currency: str, amount: int, amount_msat: int | None, rate: UsedRate | None
) -> PriceView:
    fiat = None
    if currency != SAT:
        fiat = FiatView(currency=currency, amount_minor=amount, exponent=exponent_of(currency))
    shown = None
    if rate is not None:
        shown = RateView(
            price_per_btc=format(Decimal(rate.price_per_btc), "f"),
            currency=rate.currency,
            as_of=rate.as_of,
            age_s=max(0, deps.clock() - rate.as_of),
        )
    return PriceView(amount_msat=amount_msat, fiat=fiat, rate=shown)


def invoice_view(deps: Deps, session: Session, invoice: Invoice) -> InvoiceView:
    """Return the public view of an invoice."""
    requests = request_views(deps, session, invoice)
    merchant = session.get(Merchant, invoice.merchant_id) if invoice.merchant_id else None
    rails = rails_for(deps, session, merchant, invoice.amount_msat)
    # Nobody pays before they are told where.
    payments = _payments(deps, session, invoice) if requests else []
    return assemble_invoice(deps, invoice, rails, requests, payments)


def assemble_invoice(
    deps: Deps,
    invoice: Invoice,
    rails: Sequence[str],
    requests: list[RequestView],
    payments: list[PaymentView],
) -> InvoiceView:
    """Return the public view of an invoice from its parts; asks no database."""
    settings = deps.settings
    return InvoiceView(
        id=invoice.id,
        item=invoice.item_id,
        state=invoice.state,
        marks=[mark for mark in invoice.marks.split(",") if mark],
        amount_msat=invoice.amount_msat,
        price=price_of_invoice(deps, invoice),
        created_at=invoice.created_at,
        expires_at=invoice.expires_at,
        now=deps.clock(),
        rails=list(rails),
        requests=requests,
        unified=unified_view(deps, invoice, requests),
        payments=payments,
        received_msat=invoice.received_msat,
        missing_msat=invoice.missing_msat,
        credit_msat=invoice.credit_msat,
        version=invoice.version,
        events_url=f"{settings.events_url}/v1/invoices/{invoice.id}/events",
        checkout_url=f"{settings.public_url}/pay/invoices/{invoice.id}",
    )


def price_of_invoice(deps: Deps, invoice: Invoice) -> PriceView:
    """Return what an invoice asks for, with the rate behind it."""
    rate = None
    if invoice.rate_price_per_btc is not None and invoice.rate_as_of is not None:
        rate = UsedRate(invoice.price_currency, invoice.rate_price_per_btc, invoice.rate_as_of)
    return _price(deps, invoice.price_currency, invoice.price_amount, invoice.amount_msat, rate)


def _payments(deps: Deps, session: Session, invoice: Invoice) -> list[PaymentView]:
    rows = payments_of(session, invoice.id)
    facts = payment_facts(deps, session, invoice, rows)
    return [_payment(row, fact) for row, fact in zip(rows, facts, strict=True)]


def _payment(row: Payment, fact: PaymentFact) -> PaymentView:
    state = "confirmed" if row.final or row.block_height is not None else "seen"
    return PaymentView(
        reference=row.reference,
        rail=row.rail,
        amount_msat=row.amount_msat,
        confirmations=fact.confirmations,
        confirmations_required=fact.confirmations_required,
        state="removed" if row.removed else state,
        note="" if row.sight_ok else row.sight_reason,
    )
