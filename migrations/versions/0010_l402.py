"""L402: which invoice a caller was shown, and how often a token was used.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "l402_bills",
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller", name=op.f("pk_l402_bills")),
    )
    op.create_index("ix_l402_bills_created_at", "l402_bills", ["created_at"], unique=False)
    op.create_table(
        "l402_uses",
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("open_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_l402_uses")),
    )


def downgrade() -> None:
    op.drop_table("l402_bills")
    op.drop_table("l402_uses")
