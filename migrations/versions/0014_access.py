"""API keys, overlapping site secrets, connecting sites, branding.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _api_keys()
    _sites()
    _brands()
    _connect_codes()


def _of(parent: str, table: str) -> sa.ForeignKeyConstraint:
    """Return what ties a row to its site or merchant."""
    column = f"{parent.removesuffix('s')}_id"
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}"))


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        _of("merchants", "api_keys"),
        _of("sites", "api_keys"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index("ix_api_keys_merchant", "api_keys", ["merchant_id", "created_at", "id"])
    op.create_index(op.f("ix_api_keys_site_id"), "api_keys", ["site_id"])


def _sites() -> None:
    op.create_table(
        "site_secrets",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        _of("sites", "site_secrets"),
        sa.PrimaryKeyConstraint("site_id", "secret_hash", name=op.f("pk_site_secrets")),
    )
    op.create_table(
        "site_contacts",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("server_at", sa.BigInteger(), nullable=True),
        sa.Column("widget_at", sa.BigInteger(), nullable=True),
        sa.Column("refused_at", sa.BigInteger(), nullable=True),
        sa.Column("refused_origin", sa.String(length=300), nullable=True),
        _of("sites", "site_contacts"),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_site_contacts")),
    )
    op.create_table(
        "site_looks",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("theme", sa.String(length=8), nullable=False),
        sa.Column("accent", sa.String(length=7), nullable=False),
        sa.Column("radius_px", sa.Integer(), nullable=True),
        sa.Column("font", sa.String(length=16), nullable=False),
        _of("sites", "site_looks"),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_site_looks")),
    )


def _brands() -> None:
    op.create_table(
        "brands",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("accent", sa.String(length=7), nullable=False),
        sa.Column("accent_dark", sa.String(length=7), nullable=False),
        sa.Column("support", sa.String(length=320), nullable=False),
        sa.Column("legal_text", sa.Text(), nullable=False),
        sa.Column("logo_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        _of("merchants", "brands"),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_brands")),
    )
    op.create_table(
        "brand_logos",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        _of("merchants", "brand_logos"),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_brand_logos")),
    )


def _connect_codes() -> None:
    op.create_table(
        "connect_codes",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=True),
        sa.Column("site_name", sa.String(length=200), nullable=True),
        sa.Column("client_name", sa.String(length=200), nullable=False),
        sa.Column("origin", sa.String(length=300), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("challenge", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("given_hash", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "site_id IS NOT NULL OR site_name IS NOT NULL", name=op.f("ck_connect_codes_site_told")
        ),
        _of("merchants", "connect_codes"),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_connect_codes")),
    )
    op.create_index("ix_connect_codes_expires_at", "connect_codes", ["expires_at"])


def downgrade() -> None:
    for table in (
        "connect_codes",
        "brand_logos",
        "brands",
        "site_looks",
        "site_contacts",
        "site_secrets",
        "api_keys",
    ):
        op.drop_table(table)
