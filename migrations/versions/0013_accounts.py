"""Accounts of people, their sessions, the members of merchants, invitations, the audit trail.

What opens a wallet may open an account from here on: passkeys, recovery codes and the keys
of Lightning wallets have an owner, which is the one or the other.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _owners()
    _accounts()
    _memberships()
    _invitations()
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=True),
        sa.Column("account_id", sa.String(length=64), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(
        "ix_audit_entries_merchant", "audit_entries", ["merchant_id", "created_at", "id"]
    )
    op.create_index("ix_audit_entries_account", "audit_entries", ["account_id", "created_at", "id"])
    op.create_index("ix_audit_entries_subject", "audit_entries", ["subject", "created_at", "id"])
    _mails()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("login", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("email_verified_at", sa.BigInteger(), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("totp_sealed", sa.Text(), nullable=True),
        sa.Column("totp_confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=False),
        sa.Column("locale", sa.String(length=8), nullable=True),
        sa.Column("is_operator", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("login", name=op.f("uq_accounts_login")),
    )
    op.create_table(
        "account_sessions",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_account_sessions")),
    )


def _owners() -> None:
    for table in ("passkeys", "lnurl_keys"):
        op.drop_index(f"ix_{table}_wallet_id", table_name=table)
    for table in ("passkeys", "recovery_codes"):
        with op.batch_alter_table(table) as changed:
            changed.alter_column("wallet_id", new_column_name="owner_id")
    with op.batch_alter_table("lnurl_keys") as keys:
        keys.alter_column("wallet_id", new_column_name="owner_id")
        keys.add_column(_realm())
        keys.drop_constraint("pk_lnurl_keys", type_="primary")
        # One Lightning wallet has one key for this server: it may open one of each.
        keys.create_primary_key("pk_lnurl_keys", ["key", "realm"])
    with op.batch_alter_table("lnurl_challenges") as challenges:
        challenges.add_column(_realm())
    for table in ("passkeys", "lnurl_keys"):
        op.create_index(f"ix_{table}_owner_id", table, ["owner_id"])


def _realm() -> sa.Column[str]:
    # Those from before are all of wallets.
    return sa.Column("realm", sa.String(length=8), nullable=False, server_default="wallet")


def _memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "role IN ('owner', 'editor', 'accountant')", name=op.f("ck_memberships_role_known")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_memberships_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_memberships_merchant_id")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "account_id", name=op.f("pk_memberships")),
    )
    op.create_index("ix_memberships_account_id", "memberships", ["account_id"])


def _invitations() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("merchant_id", sa.String(length=64), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=True),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("made_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("used_by", sa.String(length=64), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    op.create_index("uq_invitations_code_hash", "invitations", ["code_hash"], unique=True)
    op.create_index("ix_invitations_merchant_id", "invitations", ["merchant_id"])


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("to_address", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("text_sealed", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
    )
    op.create_index("ix_mails_next_try_at", "mails", ["next_try_at"])


def downgrade() -> None:
    for table in (
        "mails",
        "audit_entries",
        "invitations",
        "memberships",
        "account_sessions",
        "accounts",
    ):
        op.drop_table(table)
    _wallets_alone()


def _wallets_alone() -> None:
    for table in ("passkeys", "recovery_codes", "lnurl_keys"):
        op.execute(f"DELETE FROM {table} WHERE owner_id LIKE 'ac!_%' ESCAPE '!'")  # noqa: S608
    op.execute("DELETE FROM lnurl_challenges WHERE realm <> 'wallet'")
    for table in ("passkeys", "lnurl_keys"):
        op.drop_index(f"ix_{table}_owner_id", table_name=table)
    with op.batch_alter_table("lnurl_challenges") as challenges:
        challenges.drop_column("realm")
    with op.batch_alter_table("lnurl_keys") as keys:
        keys.drop_constraint("pk_lnurl_keys", type_="primary")
        keys.drop_column("realm")
        keys.create_primary_key("pk_lnurl_keys", ["key"])
        keys.alter_column("owner_id", new_column_name="wallet_id")
    for table in ("passkeys", "recovery_codes"):
        with op.batch_alter_table(table) as changed:
            changed.alter_column("owner_id", new_column_name="wallet_id")
    for table in ("passkeys", "lnurl_keys"):
        op.create_index(f"ix_{table}_wallet_id", table, ["wallet_id"])
