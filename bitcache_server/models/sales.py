"""Invoices, how they can be paid, and what was seen of payments."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class Invoice(Model):
    """One item, one amount, fixed at creation. State and sums follow the payments.

    The id is public (it stands in URLs); only the verifier behind ``challenge``
    collects what was paid for.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        Index("ix_invoices_site_page", "site_id", "created_at", "id"),
        Index("ix_invoices_changed_at", "changed_at"),
        Index("ix_invoices_state_expires_at", "state", "expires_at"),
        Index(
            "ix_invoices_wallet_id",
            "wallet_id",
            "created_at",
            sqlite_where=text("wallet_id IS NOT NULL"),
            postgresql_where=text("wallet_id IS NOT NULL"),
        ),
        CheckConstraint("amount_msat > 0", name="amount_positive"),
        CheckConstraint("wallet_id IS NULL OR item_id = ''", name="item_or_wallet"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    wallet_id: Mapped[str | None] = mapped_column(String(64))
    """The wallet that is topped up; None when a merchant is paid."""
    item_id: Mapped[str] = mapped_column(String(64))
    """Item, site and merchant are empty for a top-up; item and site for money that somebody
    sends to a merchant's Lightning address."""
    site_id: Mapped[str] = mapped_column(String(64))
    merchant_id: Mapped[str] = mapped_column(String(64))
    direct: Mapped[bool]
    """The merchant's own wallet receives; the commission becomes a debt."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    price_currency: Mapped[str] = mapped_column(String(8))
    price_amount: Mapped[int] = mapped_column(BigInteger)
    rate_price_per_btc: Mapped[str | None] = mapped_column(String(40))
    rate_as_of: Mapped[int | None] = mapped_column(BigInteger)
    challenge: Mapped[str] = mapped_column(String(64))
    """base64url(sha256(verifier)), as in PKCE S256 (RFC 7636)."""
    state: Mapped[str] = mapped_column(String(16))
    marks: Mapped[str] = mapped_column(String(64))
    """Marks in alphabetical order, joined by commas."""
    received_msat: Mapped[int] = mapped_column(BigInteger)
    missing_msat: Mapped[int] = mapped_column(BigInteger)
    credit_msat: Mapped[int] = mapped_column(BigInteger)
    redeemed_msat: Mapped[int] = mapped_column(BigInteger)
    """Credit that already bought the item."""
    claimed_msat: Mapped[int] = mapped_column(BigInteger, default=0)
    """Money that became a reader's balance."""
    sale_group: Mapped[str | None] = mapped_column(String(64))
    """The ledger group that booked the sale; None while nothing is sold."""
    refunded_at: Mapped[int | None] = mapped_column(BigInteger)
    """The sale was taken back for good: its money is credit."""
    paid_at: Mapped[int | None] = mapped_column(BigInteger)
    comment: Mapped[str | None] = mapped_column(String(500))
    """What the payer wrote to the merchant (LUD-12)."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    """Grows with every visible change; waiting readers compare it."""


class RequestRow(Model):
    """How an invoice can be paid over one rail, made when the payer asks for it."""

    __tablename__ = "payment_requests"

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    rail: Mapped[str] = mapped_column(String(16), primary_key=True)
    destination: Mapped[str] = mapped_column(Text)
    """The address (on-chain) or the BOLT 11 invoice (Lightning)."""
    target: Mapped[str] = mapped_column(String(200), index=True)
    """What observations carry: the script in hex, or the payment hash."""
    description: Mapped[str] = mapped_column(Text, default="")
    """What a Lightning invoice commits to by its hash; empty where only a memo stands."""
    check_url: Mapped[str] = mapped_column(Text, default="")
    """Where settlement is asked for (LUD-21), when somebody else's node receives."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    address_index: Mapped[int | None] = mapped_column(BigInteger)
    confirmations_required: Mapped[int]
    created_at: Mapped[int] = mapped_column(BigInteger)


class AddressBook(Model):
    """A descriptor and how far it was used. Shared by merchants who give the same one."""

    __tablename__ = "address_books"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the descriptor in hex."""
    rail: Mapped[str] = mapped_column(String(16))
    account: Mapped[str] = mapped_column(Text)
    next_index: Mapped[int] = mapped_column(BigInteger)


class Address(Model):
    """An address that was given out, and to whom last.

    ``used`` is set for ever once money was seen, even money that was double spent.
    """

    __tablename__ = "addresses"
    __table_args__ = (Index("ix_addresses_reuse", "book_id", "used", "free_at"),)

    book_id: Mapped[str] = mapped_column(ForeignKey("address_books.id"), primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    target: Mapped[str] = mapped_column(String(200), unique=True)
    destination: Mapped[str] = mapped_column(String(200))
    invoice_id: Mapped[str] = mapped_column(String(64))
    free_at: Mapped[int] = mapped_column(BigInteger)
    """From then on an unused address may be given to another invoice."""
    used: Mapped[bool]


class Payment(Model):
    """Money that a rail saw. The primary key books it once, however often it is seen."""

    __tablename__ = "payments"
    __table_args__ = (
        Index("ix_payments_invoice_id", "invoice_id"),
        Index("ix_payments_open", "rail", "settled", "removed"),
        Index("ix_payments_rail_block_height", "rail", "block_height"),
        CheckConstraint("amount_msat > 0", name="amount_positive"),
    )

    rail: Mapped[str] = mapped_column(String(16), primary_key=True)
    reference: Mapped[str] = mapped_column(String(200), primary_key=True)
    invoice_id: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(200))
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    arrived_at: Mapped[int] = mapped_column(BigInteger)
    """When it was first seen, or the time of its block when that came first."""
    block_hash: Mapped[str | None] = mapped_column(String(64))
    block_height: Mapped[int | None] = mapped_column(BigInteger)
    spendable_at_height: Mapped[int] = mapped_column(BigInteger)
    sight_ok: Mapped[bool]
    sight_reason: Mapped[str] = mapped_column(String(200))
    raw: Mapped[str] = mapped_column(Text)
    removed: Mapped[bool]
    """A conflicting transaction took its place."""
    final: Mapped[bool] = mapped_column(default=False)
    """Cannot be taken back (Lightning): there are no confirmations to wait for."""
    settled: Mapped[bool]
    """It counts: final, deep enough, or trusted on sight."""
    receipt_group: Mapped[str | None] = mapped_column(String(64))
    """The ledger group that booked it; None while it does not count."""
    receipt_source: Mapped[str | None] = mapped_column(String(100))
