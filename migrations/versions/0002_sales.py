"""Merchants, sites, items, invoices, payments, and what the jobs remember.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_books",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("next_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_books")),
    )
    op.create_table(
        "chain_blocks",
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("rail", "height", name=op.f("pk_chain_blocks")),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("direct", sa.Boolean(), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("price_currency", sa.String(length=8), nullable=False),
        sa.Column("price_amount", sa.BigInteger(), nullable=False),
        sa.Column("rate_price_per_btc", sa.String(length=40), nullable=True),
        sa.Column("rate_as_of", sa.BigInteger(), nullable=True),
        sa.Column("challenge", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("marks", sa.String(length=64), nullable=False),
        sa.Column("received_msat", sa.BigInteger(), nullable=False),
        sa.Column("missing_msat", sa.BigInteger(), nullable=False),
        sa.Column("credit_msat", sa.BigInteger(), nullable=False),
        sa.Column("redeemed_msat", sa.BigInteger(), nullable=False),
        sa.Column("sale_group", sa.String(length=64), nullable=True),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_msat > 0", name=op.f("ck_invoices_amount_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
    )
    op.create_index("ix_invoices_changed_at", "invoices", ["changed_at"], unique=False)
    op.create_index(
        "ix_invoices_site_page", "invoices", ["site_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_invoices_state_expires_at", "invoices", ["state", "expires_at"], unique=False
    )
    op.create_table(
        "job_leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_leases")),
    )
    op.create_table(
        "merchants",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("descriptor", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchants")),
    )
    op.create_table(
        "payments",
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(length=64), nullable=True),
        sa.Column("block_height", sa.BigInteger(), nullable=True),
        sa.Column("spendable_at_height", sa.BigInteger(), nullable=False),
        sa.Column("sight_ok", sa.Boolean(), nullable=False),
        sa.Column("sight_reason", sa.String(length=200), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("receipt_group", sa.String(length=64), nullable=True),
        sa.Column("receipt_source", sa.String(length=100), nullable=True),
        sa.CheckConstraint("amount_msat > 0", name=op.f("ck_payments_amount_positive")),
        sa.PrimaryKeyConstraint("rail", "reference", name=op.f("pk_payments")),
    )
    op.create_index("ix_payments_invoice_id", "payments", ["invoice_id"], unique=False)
    op.create_index("ix_payments_open", "payments", ["rail", "settled", "removed"], unique=False)
    op.create_index(
        "ix_payments_rail_block_height", "payments", ["rail", "block_height"], unique=False
    )
    op.create_table(
        "rail_status",
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("tip_height", sa.BigInteger(), nullable=False),
        sa.Column("fee_rate_msat_per_vb", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.Column("ok_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rail", name=op.f("pk_rail_status")),
    )
    op.create_table(
        "rates",
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("price_per_btc", sa.String(length=40), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("currency", name=op.f("pk_rates")),
    )
    op.create_table(
        "addresses",
        sa.Column("book_id", sa.String(length=64), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("destination", sa.String(length=200), nullable=False),
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.Column("free_at", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["book_id"], ["address_books.id"], name=op.f("fk_addresses_book_id")
        ),
        sa.PrimaryKeyConstraint("book_id", "index", name=op.f("pk_addresses")),
        sa.UniqueConstraint("target", name=op.f("uq_addresses_target")),
    )
    op.create_index("ix_addresses_reuse", "addresses", ["book_id", "used", "free_at"], unique=False)
    op.create_table(
        "payment_requests",
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("destination", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("address_index", sa.BigInteger(), nullable=True),
        sa.Column("confirmations_required", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_payment_requests_invoice_id")
        ),
        sa.PrimaryKeyConstraint("invoice_id", "rail", name=op.f("pk_payment_requests")),
    )
    op.create_table(
        "sites",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("secret_hash", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_sites_merchant_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
    )
    op.create_index(op.f("ix_sites_merchant_id"), "sites", ["merchant_id"], unique=False)
    op.create_table(
        "items",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("teaser", sa.Text(), nullable=False),
        sa.Column("price_currency", sa.String(length=8), nullable=False),
        sa.Column("price_amount", sa.BigInteger(), nullable=False),
        sa.Column("access_hours", sa.BigInteger(), nullable=True),
        sa.Column("content_html", sa.Text(), nullable=True),
        sa.Column("file_path", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('article', 'file')", name=op.f("ck_items_kind_known")),
        sa.CheckConstraint("price_amount > 0", name=op.f("ck_items_price_positive")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_items_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        sa.UniqueConstraint("site_id", "external_id", name=op.f("uq_items_site_id_external_id")),
    )
    op.create_index("ix_items_site_page", "items", ["site_id", "created_at", "id"], unique=False)
    op.create_table(
        "site_keys",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_site_keys_site_id")),
        sa.PrimaryKeyConstraint("site_id", "number", name=op.f("pk_site_keys")),
    )
    op.create_table(
        "site_origins",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_site_origins_site_id")),
        sa.PrimaryKeyConstraint("site_id", "origin", name=op.f("pk_site_origins")),
    )
    op.create_index(op.f("ix_site_origins_origin"), "site_origins", ["origin"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_site_origins_origin"), table_name="site_origins")
    op.drop_table("site_origins")
    op.drop_table("site_keys")
    op.drop_index("ix_items_site_page", table_name="items")
    op.drop_table("items")
    op.drop_index(op.f("ix_sites_merchant_id"), table_name="sites")
    op.drop_table("sites")
    op.drop_table("payment_requests")
    op.drop_index("ix_addresses_reuse", table_name="addresses")
    op.drop_table("addresses")
    op.drop_table("rates")
    op.drop_table("rail_status")
    op.drop_index("ix_payments_rail_block_height", table_name="payments")
    op.drop_index("ix_payments_open", table_name="payments")
    op.drop_index("ix_payments_invoice_id", table_name="payments")
    op.drop_table("payments")
    op.drop_table("merchants")
    op.drop_table("job_leases")
    op.drop_index("ix_invoices_state_expires_at", table_name="invoices")
    op.drop_index("ix_invoices_site_page", table_name="invoices")
    op.drop_index("ix_invoices_changed_at", table_name="invoices")
    op.drop_table("invoices")
    op.drop_table("chain_blocks")
    op.drop_table("address_books")
