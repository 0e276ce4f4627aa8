"""API keys, earlier site secrets, the connecting of sites, and how a merchant looks."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class ApiKey(Model):
    """A key to a part of one site's API: scoped, expiring, revoked one by one."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_merchant", "merchant_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), index=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"))
    """The site's merchant."""
    name: Mapped[str] = mapped_column(String(200))
    secret_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(Text)
    """With spaces between, as RFC 6749 §3.3 writes them."""
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    """None is until it is revoked."""
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    """To the hour: it is written at most once in one."""
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str] = mapped_column(String(64))
    """An account."""


class SiteSecret(Model):
    """A site's secret that was rotated and works a while longer."""

    __tablename__ = "site_secrets"

    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    valid_until: Mapped[int] = mapped_column(BigInteger)


class SiteContact(Model):
    """When a site was last heard of: its server, its pages, a page that was refused."""

    __tablename__ = "site_contacts"

    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), primary_key=True)
    server_at: Mapped[int | None] = mapped_column(BigInteger)
    """When its server last called with the secret or a key, to the hour."""
    widget_at: Mapped[int | None] = mapped_column(BigInteger)
    """When a page of its origins last asked for an item, to the hour."""
    refused_at: Mapped[int | None] = mapped_column(BigInteger)
    refused_origin: Mapped[str | None] = mapped_column(String(300))
    """A page of this origin asked for an item of the site, and it is none of its origins."""


class SiteLook(Model):
    """How the widget looks on a site; goes into the snippets that the dashboard shows."""

    __tablename__ = "site_looks"

    site_id: Mapped[str] = mapped_column(ForeignKey("sites.id"), primary_key=True)
    theme: Mapped[str] = mapped_column(String(8))
    """``light``, ``dark``, or empty: what the reader's system says."""
    accent: Mapped[str] = mapped_column(String(7))
    """``#rrggbb``; empty is the widget's own."""
    radius_px: Mapped[int | None]
    font: Mapped[str] = mapped_column(String(16))
    """A name of ``services/site_looks.py``; empty is the widget's own."""


class Brand(Model):
    """How a merchant shows themselves on the hosted checkout and on receipts."""

    __tablename__ = "brands"

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    accent: Mapped[str] = mapped_column(String(7))
    """``#rrggbb`` on light pages; empty is ours."""
    accent_dark: Mapped[str] = mapped_column(String(7))
    """The same on dark pages; empty is a lighter ``accent``."""
    support: Mapped[str] = mapped_column(String(320))
    """Where customers ask: an e-mail address or a web address; may be empty."""
    legal_text: Mapped[str] = mapped_column(Text)
    """For the foot of receipts and invoices; plain text."""
    logo_at: Mapped[int | None] = mapped_column(BigInteger)
    """When the logo was given; None is without one."""
    changed_at: Mapped[int] = mapped_column(BigInteger)


class BrandLogo(Model):
    """A merchant's logo: a PNG that we have drawn anew."""

    __tablename__ = "brand_logos"

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    png: Mapped[bytes] = mapped_column(LargeBinary)


class ConnectCode(Model):
    """What a merchant allowed to somebody who may now fetch a site's secret, once."""

    __tablename__ = "connect_codes"
    __table_args__ = (
        Index("ix_connect_codes_expires_at", "expires_at"),
        CheckConstraint("site_id IS NOT NULL OR site_name IS NOT NULL", name="site_told"),
    )

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"))
    account_id: Mapped[str] = mapped_column(String(64))
    """Who allowed it."""
    site_id: Mapped[str | None] = mapped_column(String(64))
    """The site; None until a new one is made."""
    site_name: Mapped[str | None] = mapped_column(String(200))
    """What a new site is called; None for a site that there is."""
    client_name: Mapped[str] = mapped_column(String(200))
    origin: Mapped[str] = mapped_column(String(300))
    redirect_uri: Mapped[str] = mapped_column(Text)
    challenge: Mapped[str] = mapped_column(String(128))
    """BASE64URL(SHA256(verifier)), RFC 7636 §4.2."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)
    given_hash: Mapped[str | None] = mapped_column(String(64))
    """Of the secret that it gave: a second use takes that away."""
