"""Sums by item and day, takings by quarter of an hour; items that are not sold any more.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "item_days",
        sa.Column("item_id", sa.String(64), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("paid", sa.BigInteger(), nullable=False),
        sa.Column("clicked", sa.BigInteger(), nullable=False),
        sa.Column("revenue_msat", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("seen >= 0", name=op.f("ck_item_days_seen_not_negative")),
        sa.CheckConstraint("started >= 0", name=op.f("ck_item_days_started_not_negative")),
        sa.PrimaryKeyConstraint("item_id", "day", name=op.f("pk_item_days")),
    )
    op.create_index("ix_item_days_site_day", "item_days", ["site_id", "day"])
    op.create_table(
        "taking_quarters",
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("quarter", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("net_msat", sa.BigInteger(), nullable=False),
        sa.Column("milli_minor", sa.BigInteger(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "merchant_id", "quarter", "currency", name=op.f("pk_taking_quarters")
        ),
    )
    op.add_column("items", sa.Column("archived_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("items", "archived_at")
    op.drop_table("taking_quarters")
    op.drop_index("ix_item_days_site_day", table_name="item_days")
    op.drop_table("item_days")
