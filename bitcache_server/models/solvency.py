"""What we owe and what we hold: reconciliations and proofs of solvency."""

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class Reconciliation(Model):
    """The last comparison of a rail's clearing accounts with what the rail says it holds."""

    __tablename__ = "reconciliations"

    rail: Mapped[str] = mapped_column(String(16), primary_key=True)
    code: Mapped[str] = mapped_column(String(32))
    """``ok``, ``short``, ``surplus`` or ``unknown``."""
    booked_msat: Mapped[int] = mapped_column(BigInteger)
    """What the books say the rail should hold."""
    held_msat: Mapped[int] = mapped_column(BigInteger)
    detail: Mapped[str] = mapped_column(Text)
    checked_at: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[int] = mapped_column(BigInteger)
    """Since when the code is what it is."""


class SolvencyReport(Model):
    """A Merkle sum tree over all balances at one moment; its root is published.

    The row comes first, the nodes follow in several transactions, so that no reader waits
    for a long one, and ``published_at`` comes last.
    """

    __tablename__ = "solvency_reports"
    __table_args__ = (Index("ix_solvency_reports_created_at", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    root_hash: Mapped[str] = mapped_column(String(64))
    total_msat: Mapped[int] = mapped_column(BigInteger)
    """What is owed to all wallets together."""
    others_msat: Mapped[int] = mapped_column(BigInteger)
    """What is owed besides: to merchants, for payouts under way, for credit of invoices."""
    held_msat: Mapped[int | None] = mapped_column(BigInteger)
    """What all rails together held at the last reconciliation; None if unknown."""
    leaves: Mapped[int] = mapped_column(BigInteger)
    levels: Mapped[int]
    created_at: Mapped[int] = mapped_column(BigInteger)
    """The moment of all figures."""
    published_at: Mapped[int | None] = mapped_column(BigInteger)


class SolvencyNode(Model):
    """A node of the tree: level 0 are the leaves. Only leaves name a wallet."""

    __tablename__ = "solvency_nodes"
    __table_args__ = (Index("ix_solvency_nodes_wallet_id", "wallet_id"),)

    report_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64))
    sum_msat: Mapped[int] = mapped_column(BigInteger)
    wallet_id: Mapped[str | None] = mapped_column(String(64))
    nonce: Mapped[str | None] = mapped_column(String(64))
    """A leaf's random part, so that nobody can guess another's balance from its hash."""
