"""Merchants, their sites and what they sell."""

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

#: The kind of the item that an order is sold as; no list of items shows it.
ORDER_KIND = "order"


class Merchant(Model):
    """Who is paid. With a descriptor of their own the money never passes through us."""

    __tablename__ = "merchants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    descriptor: Mapped[str | None] = mapped_column(Text)
    """Public output descriptor (BIP 380) for direct settlement."""
    lightning_address: Mapped[str | None] = mapped_column(String(320))
    """Their own Lightning address (LUD-16) for direct settlement. With neither of the two
    the merchant is pooled: the operator's wallet and node receive for them."""
    handle: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The name in front of the ``@`` of the Lightning address that we serve for them."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    commission_ppm: Mapped[int | None] = mapped_column(BigInteger)
    """The merchant's own commission rule; None is the operator's rule."""
    commission_min_msat: Mapped[int | None] = mapped_column(BigInteger)
    commission_max_msat: Mapped[int | None] = mapped_column(BigInteger)
    payout_address: Mapped[str | None] = mapped_column(String(200))
    """Where payouts go; only the operator's command changes it."""
    payout_threshold_msat: Mapped[int] = mapped_column(BigInteger, default=0)
    """A scheduled payout waits for this balance."""
    payout_every_s: Mapped[int] = mapped_column(BigInteger, default=0)
    """Time between scheduled payouts; 0 is on demand only."""
    refund_window_s: Mapped[int] = mapped_column(BigInteger, default=0)
    """How long readers may return a purchase by themselves; 0 is not at all."""
    refunds_per_reader: Mapped[int] = mapped_column(default=0)
    """How many purchases one wallet may return within 30 days."""
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    """In which their days and months begin: a name of the IANA time zone database."""
    currency: Mapped[str] = mapped_column(String(8), default="USD")
    """ISO 4217 code in which their takings are shown beside msat."""

    @property
    def direct(self) -> bool:
        """Say whether readers pay into this merchant's own wallet, and nothing to us."""
        return self.descriptor is not None or self.lightning_address is not None


class Site(Model):
    """A merchant's website. Its server calls us with the site secret."""

    __tablename__ = "sites"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    secret_hash: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(BigInteger)


class SiteOrigin(Model):
    """An origin (RFC 6454) whose pages may show the wall of a site."""

    __tablename__ = "site_origins"

    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), primary_key=True)
    origin: Mapped[str] = mapped_column(String(300), primary_key=True, index=True)


class SiteKey(Model):
    """A secret that signs the grants of a site. The two newest are valid at once."""

    __tablename__ = "site_keys"

    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    secret: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Item(Model):
    """An article or a file with its price and access policy, or what an order is sold as."""

    __tablename__ = "items"
    __table_args__ = (
        UniqueConstraint("site_id", "external_id"),
        Index("ix_items_site_page", "site_id", "created_at", "id"),
        CheckConstraint("price_amount > 0", name="price_positive"),
        CheckConstraint("kind IN ('article', 'file', 'order')", name="kind_known"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"))
    external_id: Mapped[str | None] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(300))
    teaser: Mapped[str] = mapped_column(Text)
    price_currency: Mapped[str] = mapped_column(String(8))
    """ISO 4217 code, or SAT."""
    price_amount: Mapped[int] = mapped_column(BigInteger)
    """Minor units of the currency, or sats."""
    access_hours: Mapped[int | None] = mapped_column(BigInteger)
    """How long a purchase opens the item; None is for ever."""
    content_html: Mapped[str | None] = mapped_column(Text)
    """The locked part of an article."""
    file_path: Mapped[str | None] = mapped_column(Text)
    """Path of a file inside the files folder."""
    url: Mapped[str | None] = mapped_column(Text)
    """The page that sells it, on an origin of the site; None is the hosted checkout."""
    open_url: Mapped[str | None] = mapped_column(Text)
    """Where the site itself opens what was bought, on an origin of the site. What was sold
    from here before stays in ``content_html`` or ``file_path`` for those who have it."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    archived_at: Mapped[int | None] = mapped_column(BigInteger)
    """Since when it is not sold any more; what was bought stays readable."""


class ItemSplit(Model):
    """A co-author's share of what the merchant gets for an item; the rest stays with them."""

    __tablename__ = "item_splits"
    __table_args__ = (CheckConstraint("share_ppm > 0", name="share_positive"),)

    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    share_ppm: Mapped[int] = mapped_column(BigInteger)
    """Parts per million of the price after commission; all together at most 1,000,000."""
