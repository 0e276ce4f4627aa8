"""Links that can be claimed, and Lightning payments that may be tried again.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "withdraw_links",
        sa.Column("payout_id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payout_id", name=op.f("pk_withdraw_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_withdraw_links_secret_hash")),
    )
    op.create_index(
        op.f("ix_withdraw_links_expires_at"), "withdraw_links", ["expires_at"], unique=False
    )
    op.add_column(
        "payouts", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column(
        "payouts", sa.Column("next_try_at", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "payout_batches", sa.Column("sends", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("payout_batches", sa.Column("sending_since", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("payout_batches", "sending_since")
    op.drop_column("payout_batches", "sends")
    op.drop_column("payouts", "next_try_at")
    op.drop_column("payouts", "attempts")
    op.drop_table("withdraw_links")
