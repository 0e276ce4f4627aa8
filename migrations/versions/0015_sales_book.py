"""The book of sales, the history of rates, taxes of sites, and a merchant's day and currency.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("merchants") as merchants:
        merchants.add_column(
            sa.Column("time_zone", sa.String(64), nullable=False, server_default="UTC")
        )
        merchants.add_column(
            sa.Column("currency", sa.String(8), nullable=False, server_default="USD")
        )
    _create_sales()
    op.create_table(
        "sale_cursors",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("through_id", sa.BigInteger(), nullable=False),
        sa.Column("silent_through_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sale_cursors")),
    )
    op.execute(
        "INSERT INTO sale_cursors (name, through_id, silent_through_id)"
        " SELECT 'sales_book', 0, coalesce(max(id), 0) FROM transfers"
    )
    op.create_table(
        "rate_history",
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("as_of", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("price_per_btc", sa.String(length=40), nullable=False),
        sa.Column("sources", sa.String(length=400), nullable=False),
        sa.PrimaryKeyConstraint("currency", "as_of", name=op.f("pk_rate_history")),
    )
    # What is known of earlier days: the rates that invoices were made with.
    op.execute(
        "INSERT INTO rate_history (currency, as_of, price_per_btc, sources)"
        " SELECT price_currency, rate_as_of, max(rate_price_per_btc), 'invoice' FROM invoices"
        " WHERE rate_as_of IS NOT NULL AND rate_price_per_btc IS NOT NULL"
        " GROUP BY price_currency, rate_as_of"
    )
    op.create_table(
        "site_taxes",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("tax_ppm", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "tax_ppm >= 0 AND tax_ppm <= 1000000", name=op.f("ck_site_taxes_rate_is_a_share")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_site_taxes_site_id")),
        sa.PrimaryKeyConstraint("site_id", "since", name=op.f("pk_site_taxes")),
    )


def _create_sales() -> None:
    op.create_table(
        "sales",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("owner_kind", sa.String(length=8), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("invoice_id", sa.String(length=64), nullable=False),
        sa.Column("rail", sa.String(length=16), nullable=False),
        sa.Column("direct", sa.Boolean(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("price_msat", "commission_msat", "shares_msat", "net_msat")
        ),
        sa.Column("fiat_currency", sa.String(length=8), nullable=False),
        sa.Column("fiat_minor", sa.BigInteger(), nullable=True),
        sa.Column("rate_price_per_btc", sa.String(length=40), nullable=True),
        sa.Column("rate_as_of", sa.BigInteger(), nullable=True),
        sa.Column("tax_name", sa.String(length=40), nullable=False),
        sa.Column("tax_ppm", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("transfer_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("refunded_at", sa.BigInteger(), nullable=True),
        sa.Column("refund_msat", sa.BigInteger(), nullable=False),
        sa.Column("refund_by", sa.String(length=16), nullable=False),
        sa.Column("reversed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('sale', 'share', 'sent')", name=op.f("ck_sales_kind_known")),
        sa.CheckConstraint(
            "state IN ('paid', 'refunded', 'reversed')", name=op.f("ck_sales_state_known")
        ),
        sa.CheckConstraint(
            "price_msat = net_msat + commission_msat + shares_msat",
            name=op.f("ck_sales_parts_add_up"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_sales")),
    )
    op.create_index(
        "ix_sales_page",
        "sales",
        ["merchant_id", "created_at", "id"],
        unique=False,
        postgresql_include=[
            "state",
            "fiat_currency",
            "fiat_minor",
            "price_msat",
            "commission_msat",
            "shares_msat",
        ],
    )
    for name, columns in _INDEXES.items():
        op.create_index(name, "sales", columns, unique=False)
    for column in ("refunded_at", "reversed_at"):
        happened = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_sales_{column}",
            "sales",
            ["merchant_id", column],
            unique=False,
            sqlite_where=happened,
            postgresql_where=happened,
        )


_INDEXES = {
    "ix_sales_item_id": ["merchant_id", "item_id", "created_at"],
    "ix_sales_holder": ["merchant_id", "holder"],
    "ix_sales_invoice_id": ["merchant_id", "invoice_id"],
    "ix_sales_group_id": ["group_id"],
    "ix_sales_rail": ["merchant_id", "rail"],
}


def downgrade() -> None:
    for table in ("site_taxes", "rate_history", "sale_cursors", "sales"):
        op.drop_table(table)
    with op.batch_alter_table("merchants") as merchants:
        merchants.drop_column("currency")
        merchants.drop_column("time_zone")
