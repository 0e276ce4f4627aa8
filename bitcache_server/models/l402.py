"""What machines were billed for over L402, and how often their tokens were used."""

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class L402Bill(Model):
    """The invoice that a caller was shown for an item: asking again brings the same one."""

    __tablename__ = "l402_bills"
    __table_args__ = (Index("ix_l402_bills_created_at", "created_at"),)

    caller: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Keyed hash of the caller's address block and the item."""
    invoice_id: Mapped[str] = mapped_column(String(64))
    """Empty for a moment, while the first one is made."""
    created_at: Mapped[int] = mapped_column(BigInteger)


class L402Use(Model):
    """How often a token whose uses are counted opened its item."""

    __tablename__ = "l402_uses"

    invoice_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)
    open_until: Mapped[int] = mapped_column(BigInteger)
    """Until then the last use goes on: retries and further ranges are part of it."""
