"""What the jobs remember: the chain they walked, rates, health, leases. And backups."""

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class ChainBlock(Model):
    """A block of the best chain that was booked. The highest one is the cursor."""

    __tablename__ = "chain_blocks"

    rail: Mapped[str] = mapped_column(String(16), primary_key=True)
    height: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64))
    previous_hash: Mapped[str] = mapped_column(String(64))


class StreamCursor(Model):
    """Where the watch of a rail that reports settlements left off."""

    __tablename__ = "stream_cursors"

    rail: Mapped[str] = mapped_column(String(16), primary_key=True)
    cursor: Mapped[str] = mapped_column(Text)


class RailStatus(Model):
    """The last health report of a rail, so that web processes never ask the node."""

    __tablename__ = "rail_status"

    rail: Mapped[str] = mapped_column(String(16), primary_key=True)
    ok: Mapped[bool]
    code: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text)
    tip_height: Mapped[int] = mapped_column(BigInteger)
    fee_rate_msat_per_vb: Mapped[int] = mapped_column(BigInteger)
    receivable_msat: Mapped[int | None] = mapped_column(BigInteger)
    """The largest amount that can arrive now; None where that has no bound or is not known."""
    checked_at: Mapped[int] = mapped_column(BigInteger)
    ok_at: Mapped[int] = mapped_column(BigInteger)
    """When it was last well; 0 for never."""


class StoredRate(Model):
    """The last good rate of a currency."""

    __tablename__ = "rates"

    currency: Mapped[str] = mapped_column(String(8), primary_key=True)
    price_per_btc: Mapped[str] = mapped_column(String(40))
    """Exact decimal, major units for one bitcoin."""
    as_of: Mapped[int] = mapped_column(BigInteger)
    sources: Mapped[str] = mapped_column(Text)


class JobLease(Model):
    """Which process runs a job now. A lease that ran out is free for all."""

    __tablename__ = "job_leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[int] = mapped_column(BigInteger)
    began_at: Mapped[int | None] = mapped_column(BigInteger)
    """When the last run began; None for what is no job, but a lock."""
    failing_since: Mapped[int | None] = mapped_column(BigInteger)
    """When the first of the runs began that all failed; None when the last one went well."""


class Backup(Model):
    """A backup that `bitcache backup` made of this database, for the doctor's memory."""

    __tablename__ = "backups"
    __table_args__ = (Index("ix_backups_taken_at", "taken_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """It stands in the backup's manifest, too."""
    taken_at: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    with_files: Mapped[bool]
