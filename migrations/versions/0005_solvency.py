"""Reconciliations with the rails, and proofs of solvency.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("booked_msat", sa.BigInteger(), nullable=False),
        sa.Column("held_msat", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rail", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "solvency_reports",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("root_hash", sa.String(length=64), nullable=False),
        sa.Column("total_msat", sa.BigInteger(), nullable=False),
        sa.Column("others_msat", sa.BigInteger(), nullable=False),
        sa.Column("held_msat", sa.BigInteger(), nullable=True),
        sa.Column("leaves", sa.BigInteger(), nullable=False),
        sa.Column("levels", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_solvency_reports")),
    )
    op.create_index(
        "ix_solvency_reports_created_at", "solvency_reports", ["created_at"], unique=False
    )
    op.create_table(
        "solvency_nodes",
        sa.Column("report_id", sa.String(length=64), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("sum_msat", sa.BigInteger(), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=True),
        sa.Column("nonce", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("report_id", "level", "position", name=op.f("pk_solvency_nodes")),
    )
    op.create_index("ix_solvency_nodes_wallet_id", "solvency_nodes", ["wallet_id"], unique=False)


def downgrade() -> None:
    for table in ("reconciliations", "solvency_reports", "solvency_nodes"):
        op.drop_table(table)
