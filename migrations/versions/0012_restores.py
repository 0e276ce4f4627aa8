"""What an announced restore leaves in doubt: open payouts, merchants, fees that people named.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payouts", sa.Column("restored_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE payouts SET restored_at = held_at")
    op.add_column("payout_resolutions", sa.Column("node_fee_msat", sa.BigInteger(), nullable=True))
    op.create_table(
        "restored_merchants",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("restored_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_restored_merchants")),
    )


def downgrade() -> None:
    op.drop_table("restored_merchants")
    op.drop_column("payout_resolutions", "node_fee_msat")
    op.drop_column("payouts", "restored_at")
