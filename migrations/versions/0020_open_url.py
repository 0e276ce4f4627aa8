"""Where readers open what their site holds itself.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("open_url", sa.Text(), nullable=True))


def downgrade() -> None:
    # Nothing of it is held here; without the address it would be an article without text.
    op.execute(
        "UPDATE items SET content_html = '' "
        "WHERE open_url IS NOT NULL AND content_html IS NULL AND file_path IS NULL"
    )
    with op.batch_alter_table("items") as items:
        items.drop_column("open_url")
