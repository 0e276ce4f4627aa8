"""Money that leaves: payouts, refunds, co-authors, and each merchant's own terms.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MERCHANT_COLUMNS = (
    "commission_ppm",
    "commission_min_msat",
    "commission_max_msat",
    "payout_address",
    "payout_threshold_msat",
    "payout_every_s",
    "refund_window_s",
    "refunds_per_reader",
)


def upgrade() -> None:
    op.create_table(
        "payouts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner_account", sa.String(length=96), nullable=False),
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("destination", sa.String(length=200), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("fee_msat", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("batch_id", sa.String(length=64), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_msat > 0", name=op.f("ck_payouts_amount_positive")),
        sa.CheckConstraint("fee_msat >= 0", name=op.f("ck_payouts_fee_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
        sa.UniqueConstraint(
            "owner_account",
            "idempotency_key",
            name=op.f("uq_payouts_owner_account_idempotency_key"),
        ),
    )
    op.create_index("ix_payouts_batch_id", "payouts", ["batch_id"], unique=False)
    op.create_index("ix_payouts_owner", "payouts", ["owner_account", "created_at"], unique=False)
    op.create_index("ix_payouts_state", "payouts", ["state", "created_at"], unique=False)
    op.create_table(
        "payout_batches",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("fee_msat", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_batches")),
    )
    op.create_index("ix_payout_batches_state", "payout_batches", ["state"], unique=False)
    op.create_index(
        "uq_payout_batches_unsent",
        "payout_batches",
        ["rail"],
        unique=True,
        sqlite_where=sa.text("state = 'signed'"),
        postgresql_where=sa.text("state = 'signed'"),
    )
    op.create_index(
        "uq_payout_batches_reference",
        "payout_batches",
        ["rail", "reference"],
        unique=True,
        sqlite_where=sa.text("state <> 'failed'"),
        postgresql_where=sa.text("state <> 'failed'"),
    )
    op.create_table(
        "payout_approvals",
        sa.Column("payout_id", sa.String(length=64), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payout_id", "operator", name=op.f("pk_payout_approvals")),
    )
    op.create_table(
        "operators",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
    )
    op.create_table(
        "refunds",
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=16), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("refund_group", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "group_id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_merchant", "refunds", ["merchant_id", "created_at"], unique=False)
    op.create_index("ix_refunds_owner", "refunds", ["owner_id", "created_at"], unique=False)
    op.create_table(
        "item_splits",
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("share_ppm", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("share_ppm > 0", name=op.f("ck_item_splits_share_positive")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_item_splits_item_id")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_item_splits_merchant_id")
        ),
        sa.PrimaryKeyConstraint("item_id", "merchant_id", name=op.f("pk_item_splits")),
    )
    with op.batch_alter_table("items") as items:
        items.add_column(sa.Column("url", sa.Text(), nullable=True))
    with op.batch_alter_table("merchants") as merchants:
        for name in ("commission_ppm", "commission_min_msat", "commission_max_msat"):
            merchants.add_column(sa.Column(name, sa.BigInteger(), nullable=True))
        merchants.add_column(sa.Column("payout_address", sa.String(200), nullable=True))
        for name in ("payout_threshold_msat", "payout_every_s", "refund_window_s"):
            merchants.add_column(
                sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
            )
        merchants.add_column(
            sa.Column("refunds_per_reader", sa.Integer(), nullable=False, server_default="0")
        )


def downgrade() -> None:
    with op.batch_alter_table("merchants") as merchants:
        for name in MERCHANT_COLUMNS:
            merchants.drop_column(name)
    with op.batch_alter_table("items") as items:
        items.drop_column("url")
    for table in (
        "item_splits",
        "refunds",
        "operators",
        "payout_approvals",
        "payout_batches",
        "payouts",
    ):
        op.drop_table(table)
