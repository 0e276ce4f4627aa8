"""The book of sales as merchants read it, the rates of their time, and taxes.

Filled from the ledger by ``services/sales_book.py``, and from nothing else: it can be thrown
away and written again. A merchant's rows lie together, so that lists and sums stay quick.
"""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model

_REFUNDED = text("refunded_at IS NOT NULL")
_REVERSED = text("reversed_at IS NOT NULL")


class Sale(Model):
    """What one ledger group sold for one merchant; a co-author's share is a row of its own.

    ``price_msat`` is ``net_msat`` and ``commission_msat`` and ``shares_msat`` together.
    """

    __tablename__ = "sales"
    __table_args__ = (
        # With what sums are made of, so that these read the index alone.
        Index(
            "ix_sales_page",
            "merchant_id",
            "created_at",
            "id",
            postgresql_include=[
                "state",
                "fiat_currency",
                "fiat_minor",
                "price_msat",
                "commission_msat",
                "shares_msat",
            ],
        ),
        Index("ix_sales_item_id", "merchant_id", "item_id", "created_at"),
        Index("ix_sales_holder", "merchant_id", "holder"),
        Index("ix_sales_invoice_id", "merchant_id", "invoice_id"),
        Index("ix_sales_group_id", "group_id"),
        Index("ix_sales_rail", "merchant_id", "rail"),
        # What was taken back counts in the month in which that happened.
        Index(
            "ix_sales_refunded_at",
            "merchant_id",
            "refunded_at",
            sqlite_where=_REFUNDED,
            postgresql_where=_REFUNDED,
        ),
        Index(
            "ix_sales_reversed_at",
            "merchant_id",
            "reversed_at",
            sqlite_where=_REVERSED,
            postgresql_where=_REVERSED,
        ),
        CheckConstraint("kind IN ('sale', 'share', 'sent')", name="kind_known"),
        CheckConstraint("state IN ('paid', 'refunded', 'reversed')", name="state_known"),
        CheckConstraint(
            "price_msat = net_msat + commission_msat + shares_msat", name="parts_add_up"
        ),
    )

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    """Made from the ledger group: the same however often the book is written."""
    kind: Mapped[str] = mapped_column(String(8))
    """``sale``; ``share`` of another merchant's sale; ``sent`` to the Lightning address."""
    state: Mapped[str] = mapped_column(String(8))
    """``paid``, ``refunded``, or ``reversed`` because its payment vanished."""
    site_id: Mapped[str] = mapped_column(String(64))
    """Site and item are empty for what was sent."""
    item_id: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(500))
    """The item's, as it was when the sale came into the book; what its payer wrote, for
    ``sent``."""
    owner_kind: Mapped[str] = mapped_column(String(8))
    """``wallet`` or ``invoice``."""
    holder: Mapped[str] = mapped_column(String(200))
    """The reader by the name that this merchant knows, or the invoice; no wallet's id."""
    invoice_id: Mapped[str] = mapped_column(String(64))
    """Empty for what a balance paid."""
    rail: Mapped[str] = mapped_column(String(16))
    """That brought the money; ``balance`` for a reader's balance."""
    direct: Mapped[bool]
    """The merchant's own wallet received it."""
    price_msat: Mapped[int] = mapped_column(BigInteger)
    """What the buyer paid for it; for a share, the share."""
    commission_msat: Mapped[int] = mapped_column(BigInteger)
    shares_msat: Mapped[int] = mapped_column(BigInteger)
    """What co-authors got of it."""
    net_msat: Mapped[int] = mapped_column(BigInteger)
    """What the merchant got of it."""
    fiat_currency: Mapped[str] = mapped_column(String(8))
    """That the item is priced in, else the merchant's own."""
    fiat_minor: Mapped[int | None] = mapped_column(BigInteger)
    """What ``price_msat`` was worth then, in minor units; None where no rate is known."""
    rate_price_per_btc: Mapped[str | None] = mapped_column(String(40))
    rate_as_of: Mapped[int | None] = mapped_column(BigInteger)
    tax_name: Mapped[str] = mapped_column(String(40))
    tax_ppm: Mapped[int] = mapped_column(BigInteger)
    """The site's tax rate at the time, in parts per million; the price has it in it. That of
    the lines where an order's all have the same; by line they stand in the order."""
    group_id: Mapped[str] = mapped_column(String(64))
    """The ledger group that booked it."""
    transfer_id: Mapped[int] = mapped_column(BigInteger)
    """The newest transfer of that group."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    refunded_at: Mapped[int | None] = mapped_column(BigInteger)
    refund_msat: Mapped[int] = mapped_column(BigInteger, default=0)
    """What the buyer got back, of this merchant's sale or share."""
    refund_by: Mapped[str] = mapped_column(String(16), default="")
    """``merchant``, ``reader`` or ``undo``; empty where nothing was refunded."""
    reversed_at: Mapped[int | None] = mapped_column(BigInteger)


class SaleCursor(Model):
    """How far the ledger was read into the book."""

    __tablename__ = "sale_cursors"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    through_id: Mapped[int] = mapped_column(BigInteger)
    """Of the transfers; all up to it are in the book."""
    silent_through_id: Mapped[int] = mapped_column(BigInteger)
    """Nobody is told of older ones: they were there before there was a book."""


class RateHistory(Model):
    """What a bitcoin cost, at most once a minute: the value of a sale is asked for later."""

    __tablename__ = "rate_history"

    currency: Mapped[str] = mapped_column(String(8), primary_key=True)
    as_of: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    price_per_btc: Mapped[str] = mapped_column(String(40))
    """Exact decimal, major units for one bitcoin."""
    sources: Mapped[str] = mapped_column(String(400))
    """Whose answers stand behind it; ``invoice`` where an old invoice tells it."""


class SiteTax(Model):
    """The tax rate of a site from a moment on. An earlier one stays: old sales had it."""

    __tablename__ = "site_taxes"
    __table_args__ = (
        CheckConstraint("tax_ppm >= 0 AND tax_ppm <= 1000000", name="rate_is_a_share"),
    )

    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), primary_key=True)
    since: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(40))
    """As it stands on bills: ``MwSt.``, ``VAT``."""
    tax_ppm: Mapped[int] = mapped_column(BigInteger)
