"""Readers' wallets: who holds them, allowances, gifts, top-ups, and the spend with all of it.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


# The spend in one round trip. Its first argument is the wallet, so that a
# distributed PostgreSQL can run it on the node that holds the wallet.
#
# Locking the wallet row first puts all spends of a wallet in a row: every look that
# follows has a snapshot of its own and sees each spend that came before, so the same
# item is never sold twice while a grant for it lives. nextval() stands in the INSERT
# and nowhere else; ledger/balances.py says why.
#
# With p_wait false a row that somebody else holds gives 'busy' instead of a wait: many
# calls can then stand in one statement without ever waiting for each other.
POSTGRESQL_SPEND = """
CREATE FUNCTION bitcache_spend(
  p_wallet_id text, p_key text, p_request_hash text, p_group_id text,
  p_site_id text, p_item_id text, p_accounts text[], p_amounts_msat bigint[],
  p_max_msat bigint, p_expires_at bigint, p_allowance_id text, p_auto boolean,
  p_now bigint, p_wait boolean,
  OUT outcome text, OUT result text
) LANGUAGE plpgsql AS $$
DECLARE
  v_balance bigint;
  v_gift bigint;
  v_price bigint;
  v_from_gift bigint;
  v_part bigint;
  v_kind text;
  v_key idempotency_keys%ROWTYPE;
  v_known boolean := false;
  v_allowance allowances%ROWTYPE;
  v_today bigint := p_now / 86400;
  v_grant grants%ROWTYPE;
  v_revision integer;
BEGIN
  IF p_wait THEN
    SELECT balance_msat, gift_msat INTO v_balance, v_gift
      FROM wallets WHERE id = p_wallet_id AND closed_at IS NULL FOR NO KEY UPDATE;
  ELSE
    SELECT balance_msat, gift_msat INTO v_balance, v_gift
      FROM wallets WHERE id = p_wallet_id AND closed_at IS NULL FOR NO KEY UPDATE SKIP LOCKED;
  END IF;
  IF NOT FOUND THEN
    outcome := CASE WHEN p_wait THEN 'unknown_wallet' ELSE 'busy' END; RETURN;
  END IF;

  IF p_allowance_id IS NOT NULL THEN
    IF p_wait THEN
      SELECT * INTO v_allowance FROM allowances
        WHERE wallet_id = p_wallet_id AND id = p_allowance_id AND site_id = p_site_id
        FOR NO KEY UPDATE;
    ELSE
      SELECT * INTO v_allowance FROM allowances
        WHERE wallet_id = p_wallet_id AND id = p_allowance_id AND site_id = p_site_id
        FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND THEN
      outcome := CASE WHEN p_wait THEN 'allowance_unknown' ELSE 'busy' END; RETURN;
    ELSIF v_allowance.revoked_at IS NOT NULL THEN
      outcome := 'allowance_revoked'; RETURN;
    ELSIF v_allowance.expires_at <= p_now THEN
      outcome := 'allowance_expired'; RETURN;
    END IF;
  END IF;

  IF p_key IS NOT NULL THEN
    SELECT * INTO v_key
      FROM idempotency_keys k WHERE k.owner_id = p_wallet_id AND k.key = p_key;
    v_known := FOUND;
    IF v_known AND v_key.request_hash <> p_request_hash THEN
      outcome := 'conflict'; RETURN;
    END IF;
  END IF;

  SELECT * INTO v_grant FROM grants g
    WHERE g.owner_id = p_wallet_id AND g.item_id = p_item_id
    ORDER BY g.revision DESC LIMIT 1;
  IF FOUND AND v_grant.revoked_at IS NULL
     AND (v_grant.expires_at IS NULL OR v_grant.expires_at > p_now) THEN
    outcome := 'owned';
    IF v_known AND v_key.result::json ->> 'group_id' = v_grant.group_id THEN
      outcome := 'replayed';
    END IF;
    result := json_build_object(
      'group_id', v_grant.group_id, 'revision', v_grant.revision,
      'issued_at', v_grant.issued_at, 'expires_at', v_grant.expires_at,
      'price_msat', v_grant.price_msat,
      'balance_msat', v_balance, 'gift_msat', v_gift)::text;
    RETURN;
  ELSIF v_known THEN
    outcome := 'ended'; RETURN;
  END IF;
  v_revision := coalesce(v_grant.revision, 0) + 1;

  v_price := 0;
  FOREACH v_part IN ARRAY p_amounts_msat LOOP
    v_price := v_price + v_part;
  END LOOP;
  IF v_price > p_max_msat THEN
    outcome := 'price_changed'; RETURN;
  END IF;
  IF p_allowance_id IS NOT NULL THEN
    IF p_auto AND v_price > v_allowance.auto_msat THEN
      outcome := 'allowance_auto'; RETURN;
    END IF;
    IF v_price > v_allowance.per_item_msat THEN
      outcome := 'allowance_per_item'; RETURN;
    END IF;
    -- A clock that went back never opens a day anew.
    IF v_allowance.day < v_today THEN
      v_allowance.day := v_today;
      v_allowance.spent_msat := 0;
    END IF;
    IF v_allowance.spent_msat + v_price > v_allowance.per_day_msat THEN
      outcome := 'allowance_per_day'; RETURN;
    END IF;
  END IF;
  IF v_balance + v_gift < v_price THEN
    outcome := 'insufficient'; RETURN;
  END IF;

  v_from_gift := least(v_gift, v_price);
  UPDATE wallets SET gift_msat = gift_msat - v_from_gift,
                     balance_msat = balance_msat - (v_price - v_from_gift)
    WHERE id = p_wallet_id RETURNING balance_msat, gift_msat INTO v_balance, v_gift;
  IF p_allowance_id IS NOT NULL THEN
    UPDATE allowances SET day = v_allowance.day, spent_msat = v_allowance.spent_msat + v_price
      WHERE wallet_id = p_wallet_id AND id = p_allowance_id;
  END IF;

  FOR i IN 1 .. cardinality(p_accounts) LOOP
    v_kind := CASE p_accounts[i] WHEN 'commission' THEN 'commission' ELSE 'sale' END;
    v_part := least(v_from_gift, p_amounts_msat[i]);
    v_from_gift := v_from_gift - v_part;
    IF v_part > 0 THEN
      INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat,
                             group_id, created_at)
        VALUES (p_wallet_id, nextval('transfer_id_seq'), v_kind, 'gift:' || p_wallet_id,
                p_accounts[i], v_part, p_group_id, p_now);
    END IF;
    v_part := p_amounts_msat[i] - v_part;
    IF v_part > 0 THEN
      INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat,
                             group_id, created_at)
        VALUES (p_wallet_id, nextval('transfer_id_seq'), v_kind, 'wallet:' || p_wallet_id,
                p_accounts[i], v_part, p_group_id, p_now);
    END IF;
  END LOOP;

  INSERT INTO grants (owner_id, item_id, revision, site_id, price_msat, group_id,
                      issued_at, expires_at)
    VALUES (p_wallet_id, p_item_id, v_revision, p_site_id, v_price, p_group_id,
            p_now, p_expires_at);
  outcome := 'booked';
  result := json_build_object(
    'group_id', p_group_id, 'revision', v_revision,
    'issued_at', p_now, 'expires_at', p_expires_at, 'price_msat', v_price,
    'balance_msat', v_balance, 'gift_msat', v_gift)::text;
  IF p_key IS NOT NULL THEN
    INSERT INTO idempotency_keys (owner_id, key, request_hash, result, created_at)
      VALUES (p_wallet_id, p_key, p_request_hash, result, p_now);
  END IF;
END $$
"""


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    op.create_table(
        "wallet_sessions",
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("wallet_id", "id", name=op.f("pk_wallet_sessions")),
    )
    op.create_table(
        "passkeys",
        sa.Column("credential_id", sa.String(length=1400), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_passkeys")),
    )
    op.create_index("ix_passkeys_wallet_id", "passkeys", ["wallet_id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_recovery_codes")),
    )
    op.create_index("uq_recovery_codes_code_hash", "recovery_codes", ["code_hash"], unique=True)
    op.create_table(
        "one_time_codes",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_one_time_codes")),
    )
    op.create_index("ix_one_time_codes_expires_at", "one_time_codes", ["expires_at"], unique=False)
    op.create_table(
        "allowances",
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=300), nullable=False),
        sa.Column("per_item_msat", sa.BigInteger(), nullable=False),
        sa.Column("per_day_msat", sa.BigInteger(), nullable=False),
        sa.Column("auto_msat", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("spent_msat", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("per_day_msat > 0", name=op.f("ck_allowances_per_day_positive")),
        sa.CheckConstraint("per_item_msat > 0", name=op.f("ck_allowances_per_item_positive")),
        sa.PrimaryKeyConstraint("wallet_id", "id", name=op.f("pk_allowances")),
    )
    op.create_index("ix_allowances_site", "allowances", ["wallet_id", "site_id"], unique=False)
    op.create_table(
        "gifts",
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_gifts")),
    )
    op.create_index("ix_gifts_address", "gifts", ["address_hash", "created_at"], unique=False)
    op.create_table(
        "gift_days",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("given_msat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_gift_days")),
    )
    with op.batch_alter_table("wallets") as wallets:
        wallets.add_column(
            sa.Column("gift_msat", sa.BigInteger(), nullable=False, server_default="0")
        )
        wallets.add_column(sa.Column("closed_at", sa.BigInteger(), nullable=True))
        wallets.create_check_constraint(op.f("ck_wallets_gift_not_negative"), "gift_msat >= 0")
        wallets.drop_column("only_merchant_id")
        wallets.drop_column("secret_hash")
    with op.batch_alter_table("invoices") as invoices:
        invoices.add_column(sa.Column("wallet_id", sa.String(64), nullable=True))
        invoices.add_column(
            sa.Column("claimed_msat", sa.BigInteger(), nullable=False, server_default="0")
        )
        invoices.add_column(sa.Column("refunded_at", sa.BigInteger(), nullable=True))
        invoices.create_check_constraint(
            op.f("ck_invoices_item_or_wallet"), "(wallet_id IS NULL) = (item_id <> '')"
        )
    topped_up = sa.text("wallet_id IS NOT NULL")
    op.create_index(
        "ix_invoices_wallet_id",
        "invoices",
        ["wallet_id", "created_at"],
        sqlite_where=topped_up,
        postgresql_where=topped_up,
    )
    if _is_postgresql():
        op.execute("DROP FUNCTION bitcache_spend")
        op.execute(POSTGRESQL_SPEND)


def downgrade() -> None:
    for table in (
        "wallet_sessions",
        "passkeys",
        "recovery_codes",
        "one_time_codes",
        "allowances",
        "gifts",
        "gift_days",
    ):
        op.drop_table(table)
    op.drop_index("ix_invoices_wallet_id", "invoices")
    with op.batch_alter_table("invoices") as invoices:
        invoices.drop_constraint(op.f("ck_invoices_item_or_wallet"), type_="check")
        for column in ("wallet_id", "claimed_msat", "refunded_at"):
            invoices.drop_column(column)
    with op.batch_alter_table("wallets") as wallets:
        wallets.drop_constraint(op.f("ck_wallets_gift_not_negative"), type_="check")
        wallets.drop_column("gift_msat")
        wallets.drop_column("closed_at")
        wallets.add_column(sa.Column("only_merchant_id", sa.String(64), nullable=True))
        wallets.add_column(sa.Column("secret_hash", sa.String(128), nullable=True))
    if _is_postgresql():
        op.execute("DROP FUNCTION bitcache_spend")
        script = op.get_context().script
        op.execute(script.get_revision("0001").module.POSTGRESQL_SPEND)
