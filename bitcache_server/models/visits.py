"""How many saw a wall, started to pay and paid, and what merchants took in: sums."""

from sqlalchemy import BigInteger, CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class ItemDay(Model):
    """Sums of one item on one day. Nothing is kept of who it was."""

    __tablename__ = "item_days"
    __table_args__ = (
        Index("ix_item_days_site_day", "site_id", "day"),
        CheckConstraint("seen >= 0", name="seen_not_negative"),
        CheckConstraint("started >= 0", name="started_not_negative"),
    )

    item_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Days since 1970-01-01 in UTC."""
    site_id: Mapped[str] = mapped_column(String(64))
    seen: Mapped[int] = mapped_column(BigInteger)
    """How often the wall was shown."""
    started: Mapped[int] = mapped_column(BigInteger)
    """Invoices, and clicks that the balance was too small for."""
    paid: Mapped[int] = mapped_column(BigInteger)
    """Sales of that day in the book that were not taken back since."""
    clicked: Mapped[int] = mapped_column(BigInteger)
    """Those of them that a balance paid: they started with no invoice."""
    revenue_msat: Mapped[int] = mapped_column(BigInteger)
    """The merchant's part of them."""


class TakingQuarter(Model):
    """What a merchant took in within a quarter of an hour: every time zone is made of those.

    What was given back or vanished then is taken away, so that a sum can be below 0.
    """

    __tablename__ = "taking_quarters"

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    quarter: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Quarters of an hour since 1970."""
    currency: Mapped[str] = mapped_column(String(8), primary_key=True)
    """In which the worth of the sales is known; empty where it is not."""
    net_msat: Mapped[int] = mapped_column(BigInteger)
    milli_minor: Mapped[int] = mapped_column(BigInteger)
    """Their worth at the time, in thousandths of the currency's minor unit."""
    sales: Mapped[int] = mapped_column(BigInteger)
