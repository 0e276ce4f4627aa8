"""Readers' Lightning wallets that fill their balances by themselves.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wallet_connections",
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("per_day_msat", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("spent_msat", sa.BigInteger(), nullable=False),
        sa.Column("invoice_id", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_msat > 0", name=op.f("ck_wallet_connections_amount_positive")),
        sa.CheckConstraint(
            "per_day_msat >= amount_msat", name=op.f("ck_wallet_connections_per_day_reaches")
        ),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_wallet_connections")),
    )


def downgrade() -> None:
    op.drop_table("wallet_connections")
