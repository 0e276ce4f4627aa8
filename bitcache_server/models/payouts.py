"""Money that leaves: payouts, the transactions that carry them, refunds."""

from sqlalchemy import BigInteger, CheckConstraint, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model


class Payout(Model):
    """Money on its way to a reader or a merchant. Its ledger account holds it until it is gone."""

    __tablename__ = "payouts"
    __table_args__ = (
        Index("ix_payouts_state", "state", "created_at"),
        Index("ix_payouts_owner", "owner_account", "created_at"),
        Index("ix_payouts_batch_id", "batch_id"),
        UniqueConstraint("owner_account", "idempotency_key"),
        CheckConstraint("amount_msat > 0", name="amount_positive"),
        CheckConstraint("fee_msat >= 0", name="fee_not_negative"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner_account: Mapped[str] = mapped_column(String(96))
    """``wallet:<id>`` of a withdrawal, ``merchant:<id>`` of a merchant's payout."""
    rail: Mapped[str] = mapped_column(String(16))
    destination: Mapped[str] = mapped_column(Text)
    """An address (on-chain), a BOLT 11 invoice or a Lightning address; empty while a link
    waits for somebody to claim it."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    """What arrives."""
    fee_msat: Mapped[int] = mapped_column(BigInteger)
    """What the owner pays for the network on top, as shown before: for Lightning at most."""
    fee_returned_msat: Mapped[int] = mapped_column(BigInteger, default=0)
    """The part of the reserve that was not used and went back to the owner."""
    state: Mapped[str] = mapped_column(String(16))
    """See ``domain/payout_state.py``."""
    reason: Mapped[str] = mapped_column(String(200), default="")
    """Why it failed or waits, for people."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often a payment to a Lightning address failed."""
    next_try_at: Mapped[int] = mapped_column(BigInteger, default=0)
    """Not to be tried before; 0 is at once."""
    held_at: Mapped[int | None] = mapped_column(BigInteger)
    """When the database was said to come from a backup: it, or its merchant otherwise, may
    have been paid since, so it is not sent before an operator says so. None for all others."""
    restored_at: Mapped[int | None] = mapped_column(BigInteger)
    """When it was open in a database that was said to come from a backup; None after an
    operator let it go. Over an invoice it goes on, and the node says whether it was paid."""
    batch_id: Mapped[str | None] = mapped_column(String(64))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    settled_at: Mapped[int | None] = mapped_column(BigInteger)


class PayoutBatch(Model):
    """One signed transaction for several payouts: stored first, then sent, even many times."""

    __tablename__ = "payout_batches"
    __table_args__ = (
        Index("ix_payout_batches_state", "state"),
        # Two transactions that nobody has seen yet would spend the same coins.
        Index(
            "uq_payout_batches_unsent",
            "rail",
            unique=True,
            sqlite_where=text("state = 'signed'"),
            postgresql_where=text("state = 'signed'"),
        ),
        # One transaction pays the payouts of one batch.
        Index(
            "uq_payout_batches_reference",
            "rail",
            "reference",
            unique=True,
            sqlite_where=text("state <> 'failed'"),
            postgresql_where=text("state <> 'failed'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rail: Mapped[str] = mapped_column(String(16))
    reference: Mapped[str] = mapped_column(String(200))
    """For on-chain the transaction id, for Lightning the payment hash."""
    raw: Mapped[str] = mapped_column(Text)
    """For on-chain the signed transaction in hex, for Lightning the invoice."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    """What all payees get together."""
    fee_msat: Mapped[int] = mapped_column(BigInteger)
    """What the network takes; for Lightning at most, until it is settled."""
    sends: Mapped[int] = mapped_column(default=0)
    """How often a Lightning payment was given to the node: an answer of before is old."""
    sending_since: Mapped[int | None] = mapped_column(BigInteger)
    """A process is about to give it to the node, or died there; None when it came back."""
    state: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[int] = mapped_column(BigInteger)
    sent_at: Mapped[int | None] = mapped_column(BigInteger)
    settled_at: Mapped[int | None] = mapped_column(BigInteger)


class WithdrawLink(Model):
    """A link that whoever has it can turn into a payment to their wallet, once (LUD-03)."""

    __tablename__ = "withdraw_links"

    payout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The payout that holds the money."""
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    claims: Mapped[int] = mapped_column(default=0)
    """How many claims came to nothing; the next one is bound to another ``k1``."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    """From then on nobody can claim it, and the money goes back."""


class Operator(Model):
    """A person who may approve payouts, by a secret that only they know."""

    __tablename__ = "operators"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    removed_at: Mapped[int | None] = mapped_column(BigInteger)


class PayoutApproval(Model):
    """One operator's yes to one payout."""

    __tablename__ = "payout_approvals"

    payout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    operator: Mapped[str] = mapped_column(String(64), primary_key=True)
    approved_at: Mapped[int] = mapped_column(BigInteger)


class PayoutWord(Model):
    """What an operator said became of a payout that no node knows. Never changed: a later word
    of the same operator counts instead."""

    __tablename__ = "payout_words"

    payout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counted for each payout, from 1."""
    batch_id: Mapped[str] = mapped_column(String(64))
    """The payment it is about; empty for one that the database has lost."""
    operator: Mapped[str] = mapped_column(String(64))
    settled: Mapped[bool]
    reference: Mapped[str] = mapped_column(String(200))
    """The payment hash, or the transaction id."""
    fee_msat: Mapped[int] = mapped_column(BigInteger)
    preimage: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(200))
    said_at: Mapped[int] = mapped_column(BigInteger)


class PayoutResolution(Model):
    """A payment that two operators ended, and what a node said of it later."""

    __tablename__ = "payout_resolutions"

    batch_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    payout_id: Mapped[str] = mapped_column(String(64), index=True)
    settled: Mapped[bool]
    resolved_at: Mapped[int] = mapped_column(BigInteger)
    node_says: Mapped[str] = mapped_column(String(16))
    """The last clear outcome that a node told; empty for none."""
    node_fee_msat: Mapped[int | None] = mapped_column(BigInteger)
    """What it says the route took, where it says that it was settled."""
    asked_at: Mapped[int] = mapped_column(BigInteger)
    seen_by: Mapped[str | None] = mapped_column(String(64))
    """The operator who took note of what the node said."""
    seen_at: Mapped[int | None] = mapped_column(BigInteger)


class RestoredMerchant(Model):
    """A merchant who may have been paid since the backup that the database came from. New
    payouts of theirs are held until an operator lets one go."""

    __tablename__ = "restored_merchants"

    merchant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    restored_at: Mapped[int] = mapped_column(BigInteger)


class Refund(Model):
    """A purchase that was given back; the primary key gives each purchase back once."""

    __tablename__ = "refunds"
    __table_args__ = (
        Index("ix_refunds_merchant", "merchant_id", "created_at"),
        Index("ix_refunds_owner", "owner_id", "created_at"),
    )

    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The wallet or invoice that bought."""
    group_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The ledger group of the purchase."""
    id: Mapped[str] = mapped_column(String(64))
    item_id: Mapped[str] = mapped_column(String(64))
    merchant_id: Mapped[str] = mapped_column(String(64))
    by: Mapped[str] = mapped_column(String(16))
    """``merchant``, ``reader`` or ``undo``."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    refund_group: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
