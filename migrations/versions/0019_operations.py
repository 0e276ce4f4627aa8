"""When jobs ran and since when they fail; which backups were made.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_leases", sa.Column("began_at", sa.BigInteger(), nullable=True))
    op.add_column("job_leases", sa.Column("failing_since", sa.BigInteger(), nullable=True))
    op.create_table(
        "backups",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("with_files", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
    )
    op.create_index("ix_backups_taken_at", "backups", ["taken_at"])


def downgrade() -> None:
    op.drop_table("backups")
    with op.batch_alter_table("job_leases") as leases:
        leases.drop_column("failing_since")
        leases.drop_column("began_at")
