"""Keys of Lightning wallets that sign in (LUD-04), and the challenges that they sign.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lnurl_keys",
        sa.Column("key", sa.String(length=66), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_lnurl_keys")),
    )
    op.create_index("ix_lnurl_keys_wallet_id", "lnurl_keys", ["wallet_id"], unique=False)
    op.create_table(
        "lnurl_challenges",
        sa.Column("k1", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=140), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=66), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("k1", name=op.f("pk_lnurl_challenges")),
    )
    op.create_index(
        "ix_lnurl_challenges_expires_at", "lnurl_challenges", ["expires_at"], unique=False
    )


def downgrade() -> None:
    for table in ("lnurl_challenges", "lnurl_keys"):
        op.drop_table(table)
