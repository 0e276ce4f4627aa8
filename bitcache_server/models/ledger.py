"""Tables of the ledger: transfers, wallets, grants, idempotency keys, checkpoints.

On the hot path every primary key begins with the owner (a wallet or an invoice)
and no foreign key crosses owners, so that the same schema can be distributed by
owner later.
"""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, String, Text, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement

from bitcache_server.extensions import Model

ID = String(64)
"""Ids of wallets, invoices, items and the like."""
ACCOUNT = String(96)
"""An account name: a prefix and an id; see ``ledger/chart.py``."""


class NextTransferId(FunctionElement[int]):
    """The id of the transfer that is being inserted.

    Evaluated inside the INSERT and nowhere else: ``ledger/balances.py`` relies
    on an id being taken only while the table is locked for writing.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(NextTransferId, "postgresql")
def _from_sequence(_element: NextTransferId, _compiler: Any, **_kw: Any) -> str:
    return "nextval('transfer_id_seq')"


@compiles(NextTransferId, "sqlite")
def _from_rowid(_element: NextTransferId, _compiler: Any, **_kw: Any) -> str:
    # Never used twice: nothing is ever deleted, and SQLite has one writer at a time.
    return "(SELECT coalesce(max(id), 0) + 1 FROM transfers)"


class Transfer(Model):
    """An immutable row: ``amount_msat`` moved from one account to another.

    The database refuses to update or delete it. Mistakes are corrected by a row
    whose ``reverses_id`` names the transfer of the same owner that it takes back.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        Index("ix_transfers_from_account", "from_account", "id"),
        Index("ix_transfers_to_account", "to_account", "id"),
        # For scans of the newest transfers. Rows lie in the order of their ids, so
        # that on PostgreSQL a block range index does, which is tiny.
        Index(
            "ix_transfers_id",
            "id",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
        ),
        # A transfer is taken back once.
        Index(
            "uq_transfers_reverses_id",
            "owner_id",
            "reverses_id",
            unique=True,
            sqlite_where=text("reverses_id IS NOT NULL"),
            postgresql_where=text("reverses_id IS NOT NULL"),
        ),
        CheckConstraint("amount_msat > 0", name="amount_positive"),
        CheckConstraint("from_account <> to_account", name="accounts_differ"),
    )

    owner_id: Mapped[str] = mapped_column(ID, primary_key=True)
    """The wallet, invoice or merchant that the transfer belongs to."""
    id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, default=NextTransferId()
    )
    kind: Mapped[str] = mapped_column(String(32))
    from_account: Mapped[str] = mapped_column(ACCOUNT)
    to_account: Mapped[str] = mapped_column(ACCOUNT)
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    group_id: Mapped[str] = mapped_column(ID)
    """Transfers that were booked together share it."""
    reverses_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Wallet(Model):
    """A reader's balance: what of theirs can be overdrawn, so it is stored.

    One conditional statement guards each of the two sums; each always equals the sum
    of the transfers of its account, ``wallet:<id>`` and ``gift:<id>``.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        CheckConstraint("balance_msat >= 0", name="balance_not_negative"),
        CheckConstraint("gift_msat >= 0", name="gift_not_negative"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    balance_msat: Mapped[int] = mapped_column(BigInteger)
    """The reader's own money; it can be withdrawn."""
    gift_msat: Mapped[int] = mapped_column(BigInteger, default=0)
    """What is left of starter credit: spent first, never withdrawn."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    """When the reader deleted the wallet; nothing moves in it any more."""


class Grant(Model):
    """The right to one item, held by a wallet or an invoice. A renewal is a new revision."""

    __tablename__ = "grants"
    __table_args__ = (CheckConstraint("price_msat >= 0", name="price_not_negative"),)

    owner_id: Mapped[str] = mapped_column(ID, primary_key=True)
    item_id: Mapped[str] = mapped_column(ID, primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    site_id: Mapped[str] = mapped_column(ID)
    price_msat: Mapped[int] = mapped_column(BigInteger)
    group_id: Mapped[str | None] = mapped_column(ID)
    """The ledger group that paid for it; None for a gift."""
    issued_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class IdempotencyKey(Model):
    """The answer to a request, stored in the same transaction as its effect."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    owner_id: Mapped[str] = mapped_column(ID, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the canonical request, in hex."""
    result: Mapped[str] = mapped_column(Text)
    """JSON."""
    created_at: Mapped[int] = mapped_column(BigInteger)


class BalanceCheckpoint(Model):
    """An account's balance over all transfers up to and including ``through_id``."""

    __tablename__ = "balance_checkpoints"
    __table_args__ = (Index("ix_balance_checkpoints_through_id", "through_id"),)

    account: Mapped[str] = mapped_column(ACCOUNT, primary_key=True)
    through_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    balance_msat: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
