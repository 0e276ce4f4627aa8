"""Orders, the invoices that were made for them, payment links, and numbers of documents."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class Order(Model):
    """What a shop wants to be paid once. It is sold as an item of its own, which nobody lists.

    The state follows the ledger: each change is made in the transaction that books it.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("site_id", "reference"),
        UniqueConstraint("item_id"),
        Index("ix_orders_site_page", "site_id", "created_at", "id"),
        Index("ix_orders_merchant_page", "merchant_id", "created_at", "id"),
        Index("ix_orders_state_expires_at", "state", "expires_at"),
        CheckConstraint("total_minor > 0", name="total_positive"),
        CheckConstraint(
            "state IN ('open', 'paid', 'cancelled', 'expired', 'refunded')", name="state_known"
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"))
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"))
    """The site's merchant."""
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"))
    """What its invoices sell; its price is the order's total."""
    reference: Mapped[str] = mapped_column(String(100))
    """The shop's own number of the order."""
    currency: Mapped[str] = mapped_column(String(8))
    """ISO 4217 code, or SAT."""
    total_minor: Mapped[int] = mapped_column(BigInteger)
    """Minor units of the currency, or sats: the sum of the lines."""
    lines: Mapped[str] = mapped_column(Text)
    """JSON: a list of title, quantity, unit_minor and tax_ppm (``order_lines.py``)."""
    customer_ref: Mapped[str | None] = mapped_column(String(200))
    """Who bought, in the shop's own words; only the shop sees it."""
    extra: Mapped[str] = mapped_column("metadata", Text)
    """JSON: names and texts that the shop keeps with the order."""
    return_url: Mapped[str | None] = mapped_column(Text)
    """An address on an origin of the site, in normal form."""
    cancel_url: Mapped[str | None] = mapped_column(Text)
    link_id: Mapped[str | None] = mapped_column(String(64))
    """The payment link that it came from."""
    content_hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of what was ordered: the same reference with another one is refused."""
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    paid_at: Mapped[int | None] = mapped_column(BigInteger)
    paid_by: Mapped[str | None] = mapped_column(String(64))
    """The invoice or the wallet that paid; it stays after a refund."""
    paid_group: Mapped[str | None] = mapped_column(String(64))
    """The ledger group of the sale."""
    paid_msat: Mapped[int | None] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    """When it was cancelled, expired or refunded."""
    document_number: Mapped[int | None] = mapped_column(BigInteger)
    """Of the invoice as a document; given when that is first asked for."""
    document_at: Mapped[int | None] = mapped_column(BigInteger)


class OrderInvoice(Model):
    """An invoice that was made for an order."""

    __tablename__ = "order_invoices"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    invoice_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class PaymentLink(Model):
    """A reusable link: everybody who follows it and presses its button gets an order."""

    __tablename__ = "payment_links"
    __table_args__ = (
        Index("ix_payment_links_merchant_page", "merchant_id", "created_at", "id"),
        CheckConstraint(
            "(amount_minor IS NULL) = (min_minor IS NOT NULL AND max_minor IS NOT NULL)",
            name="fixed_or_chosen",
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"))
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"))
    title: Mapped[str] = mapped_column(String(300))
    currency: Mapped[str] = mapped_column(String(8))
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    """The price; None where the payer chooses one within the bounds."""
    min_minor: Mapped[int | None] = mapped_column(BigInteger)
    max_minor: Mapped[int | None] = mapped_column(BigInteger)
    tax_ppm: Mapped[int | None] = mapped_column(BigInteger)
    return_url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    """From then on it makes no orders."""


class DocumentCounter(Model):
    """The last number that a merchant's invoices as documents have. No number is left out."""

    __tablename__ = "document_counters"

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    last_number: Mapped[int] = mapped_column(BigInteger)
