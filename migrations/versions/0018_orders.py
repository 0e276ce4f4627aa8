"""Orders and their lines, payment links, numbers of documents; items of the kind `order`.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("items") as items:
        items.drop_constraint(op.f("ck_items_kind_known"), type_="check")
        items.create_check_constraint(
            op.f("ck_items_kind_known"), "kind IN ('article', 'file', 'order')"
        )
    _orders()
    op.create_table(
        "order_invoices",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_invoices_order_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "invoice_id", name=op.f("pk_order_invoices")),
    )
    _payment_links()
    op.create_table(
        "document_counters",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_document_counters_merchant_id")
        ),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_document_counters")),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.String(length=100), nullable=False),
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("customer_ref", sa.String(length=200), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("cancel_url", sa.Text(), nullable=True),
        sa.Column("link_id", sa.String(length=64), nullable=True),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.Column("paid_by", sa.String(length=64), nullable=True),
        sa.Column("paid_group", sa.String(length=64), nullable=True),
        sa.Column("paid_msat", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("document_number", sa.BigInteger(), nullable=True),
        sa.Column("document_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("total_minor > 0", name=op.f("ck_orders_total_positive")),
        sa.CheckConstraint(
            "state IN ('open', 'paid', 'cancelled', 'expired', 'refunded')",
            name=op.f("ck_orders_state_known"),
        ),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_orders_item_id")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_orders_merchant_id")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_orders_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("site_id", "reference", name=op.f("uq_orders_site_id_reference")),
        sa.UniqueConstraint("item_id", name=op.f("uq_orders_item_id")),
    )
    op.create_index("ix_orders_site_page", "orders", ["site_id", "created_at", "id"])
    op.create_index("ix_orders_merchant_page", "orders", ["merchant_id", "created_at", "id"])
    op.create_index("ix_orders_state_expires_at", "orders", ["state", "expires_at"])


def _payment_links() -> None:
    op.create_table(
        "payment_links",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("min_minor", sa.BigInteger(), nullable=True),
        sa.Column("max_minor", sa.BigInteger(), nullable=True),
        sa.Column("tax_ppm", sa.BigInteger(), nullable=True),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(amount_minor IS NULL) = (min_minor IS NOT NULL AND max_minor IS NOT NULL)",
            name=op.f("ck_payment_links_fixed_or_chosen"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_payment_links_merchant_id")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_payment_links_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_links")),
    )
    op.create_index(
        "ix_payment_links_merchant_page", "payment_links", ["merchant_id", "created_at", "id"]
    )


def downgrade() -> None:
    for table in ("document_counters", "payment_links", "order_invoices", "orders"):
        op.drop_table(table)
    # What an order sold cannot be said any more without the kind; such items go, too.
    op.execute("DELETE FROM items WHERE kind = 'order'")
    with op.batch_alter_table("items") as items:
        items.drop_constraint(op.f("ck_items_kind_known"), type_="check")
        items.create_check_constraint(op.f("ck_items_kind_known"), "kind IN ('article', 'file')")
