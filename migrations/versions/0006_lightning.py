"""Lightning: invoices as destinations, final payments, settlement cursors, receiving names.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stream_cursors",
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rail", name=op.f("pk_stream_cursors")),
    )
    op.add_column("rail_status", sa.Column("receivable_msat", sa.BigInteger(), nullable=True))
    op.add_column(
        "payments", sa.Column("final", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("invoices", sa.Column("comment", sa.String(length=500), nullable=True))
    with op.batch_alter_table("payment_requests") as table:
        table.alter_column("destination", existing_type=sa.String(length=200), type_=sa.Text())
        table.add_column(sa.Column("description", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("check_url", sa.Text(), nullable=False, server_default=""))
        table.create_index("ix_payment_requests_target", ["target"])
    with op.batch_alter_table("payouts") as table:
        table.alter_column("destination", existing_type=sa.String(length=200), type_=sa.Text())
        table.add_column(
            sa.Column("fee_returned_msat", sa.BigInteger(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("merchants") as table:
        table.add_column(sa.Column("lightning_address", sa.String(length=320), nullable=True))
        table.add_column(sa.Column("handle", sa.String(length=64), nullable=True))
        table.create_unique_constraint(op.f("uq_merchants_handle"), ["handle"])
    _replace_check("wallet_id IS NULL OR item_id = ''")


def downgrade() -> None:
    _replace_check("(wallet_id IS NULL) = (item_id <> '')")
    with op.batch_alter_table("merchants") as table:
        table.drop_constraint(op.f("uq_merchants_handle"), type_="unique")
        table.drop_column("handle")
        table.drop_column("lightning_address")
    with op.batch_alter_table("payouts") as table:
        table.drop_column("fee_returned_msat")
        table.alter_column("destination", existing_type=sa.Text(), type_=sa.String(length=200))
    with op.batch_alter_table("payment_requests") as table:
        table.drop_index("ix_payment_requests_target")
        table.drop_column("check_url")
        table.drop_column("description")
        table.alter_column("destination", existing_type=sa.Text(), type_=sa.String(length=200))
    op.drop_column("invoices", "comment")
    op.drop_column("payments", "final")
    op.drop_column("rail_status", "receivable_msat")
    op.drop_table("stream_cursors")


def _replace_check(condition: str) -> None:
    name = op.f("ck_invoices_item_or_wallet")
    with op.batch_alter_table("invoices") as table:
        table.drop_constraint(name, type_="check")
        table.create_check_constraint(name, condition)
