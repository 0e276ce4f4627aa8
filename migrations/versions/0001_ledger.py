"""The ledger: transfers, wallets, grants, idempotency keys, checkpoints, the spend.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(64)
ACCOUNT = sa.String(96)

# The spend in one round trip. Its first argument is the wallet, so that a
# distributed PostgreSQL can run it on the node that holds the wallet.
#
# Locking the wallet row first puts all spends of a wallet in a row: the look for
# the idempotency key, which follows with a snapshot of its own, sees every spend
# that came before, and the next revision of a grant is free. nextval() stands in
# the INSERTs and nowhere else; ledger/balances.py says why.
POSTGRESQL_SPEND = """
CREATE FUNCTION bitcache_spend(
  p_wallet_id text, p_key text, p_request_hash text, p_group_id text,
  p_merchant_id text, p_site_id text, p_item_id text,
  p_amount_msat bigint, p_commission_msat bigint, p_expires_at bigint, p_now bigint,
  OUT outcome text, OUT result text
) LANGUAGE plpgsql AS $$
DECLARE
  v_balance bigint;
  v_only_merchant text;
  v_stored_hash text;
  v_net_msat bigint := p_amount_msat - p_commission_msat;
  v_sale_id bigint;
  v_commission_id bigint;
  v_revision integer;
BEGIN
  SELECT balance_msat, only_merchant_id INTO v_balance, v_only_merchant
    FROM wallets WHERE id = p_wallet_id FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown_wallet'; RETURN;
  END IF;

  SELECT k.request_hash, k.result INTO v_stored_hash, result
    FROM idempotency_keys k WHERE k.owner_id = p_wallet_id AND k.key = p_key;
  IF FOUND THEN
    IF v_stored_hash <> p_request_hash THEN
      outcome := 'conflict'; result := NULL; RETURN;
    END IF;
    outcome := 'replayed'; RETURN;
  END IF;

  IF v_only_merchant <> p_merchant_id THEN
    outcome := 'restricted'; RETURN;
  END IF;
  UPDATE wallets SET balance_msat = balance_msat - p_amount_msat
    WHERE id = p_wallet_id AND balance_msat >= p_amount_msat
    RETURNING balance_msat INTO v_balance;
  IF NOT FOUND THEN
    outcome := 'insufficient'; RETURN;
  END IF;

  IF v_net_msat <> 0 THEN
    INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat,
                           group_id, created_at)
      VALUES (p_wallet_id, nextval('transfer_id_seq'), 'sale', 'wallet:' || p_wallet_id,
              'merchant:' || p_merchant_id, v_net_msat, p_group_id, p_now)
      RETURNING id INTO v_sale_id;
  END IF;
  IF p_commission_msat <> 0 THEN
    INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat,
                           group_id, created_at)
      VALUES (p_wallet_id, nextval('transfer_id_seq'), 'commission', 'wallet:' || p_wallet_id,
              'commission', p_commission_msat, p_group_id, p_now)
      RETURNING id INTO v_commission_id;
  END IF;

  INSERT INTO grants (owner_id, item_id, revision, site_id, price_msat, group_id,
                      issued_at, expires_at)
    SELECT p_wallet_id, p_item_id, coalesce(max(g.revision), 0) + 1, p_site_id,
           p_amount_msat, p_group_id, p_now, p_expires_at
      FROM grants g WHERE g.owner_id = p_wallet_id AND g.item_id = p_item_id
    RETURNING revision INTO v_revision;

  outcome := 'booked';
  result := json_build_object(
    'group_id', p_group_id,
    'transfer_ids', array_remove(ARRAY[v_sale_id, v_commission_id], NULL),
    'revision', v_revision, 'expires_at', p_expires_at, 'balance_msat', v_balance)::text;
  INSERT INTO idempotency_keys (owner_id, key, request_hash, result, created_at)
    VALUES (p_wallet_id, p_key, p_request_hash, result, p_now);
END $$
"""

POSTGRESQL_GUARDS = (
    """
    CREATE FUNCTION bitcache_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION '% are never changed or removed; book a correction', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE TRIGGER transfers_are_immutable BEFORE UPDATE OR DELETE ON transfers
      FOR EACH ROW EXECUTE FUNCTION bitcache_refuse()
    """,
    """
    CREATE TRIGGER transfers_stay BEFORE TRUNCATE ON transfers
      FOR EACH STATEMENT EXECUTE FUNCTION bitcache_refuse()
    """,
    # A checkpoint can be worked out again, and removing a wrong one is the only
    # repair, so it may be deleted; but nobody may bend a balance by changing one.
    """
    CREATE TRIGGER checkpoints_are_immutable BEFORE UPDATE ON balance_checkpoints
      FOR EACH ROW EXECUTE FUNCTION bitcache_refuse()
    """,
)

SQLITE_GUARDS = (
    """
    CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers BEGIN
      SELECT raise(ABORT, 'transfers are never changed or removed; book a correction');
    END
    """,
    """
    CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers BEGIN
      SELECT raise(ABORT, 'transfers are never changed or removed; book a correction');
    END
    """,
    """
    CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON balance_checkpoints BEGIN
      SELECT raise(ABORT, 'balance_checkpoints are never changed; remove a wrong one');
    END
    """,
    # INSERT OR REPLACE deletes without asking the DELETE trigger.
    """
    CREATE TRIGGER transfers_no_replace BEFORE INSERT ON transfers
    WHEN EXISTS (SELECT 1 FROM transfers WHERE owner_id = NEW.owner_id AND id = NEW.id)
    BEGIN
      SELECT raise(ABORT, 'transfers are never changed or removed; book a correction');
    END
    """,
)


def upgrade() -> None:
    """Create the tables, then what guards them."""
    _create_transfers()
    _create_wallets_and_grants()
    _create_keys_and_checkpoints()
    if op.get_bind().dialect.name == "postgresql":
        # CACHE 1: no session may keep ids for later; ledger/balances.py says why.
        op.execute("CREATE SEQUENCE transfer_id_seq AS bigint CACHE 1")
        op.execute("ALTER TABLE transfers ALTER COLUMN id SET DEFAULT nextval('transfer_id_seq')")
        guards: tuple[str, ...] = (*POSTGRESQL_GUARDS, POSTGRESQL_SPEND)
    else:
        guards = SQLITE_GUARDS
    for statement in guards:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything: only for a database without money."""
    for table in ("balance_checkpoints", "idempotency_keys", "grants", "wallets", "transfers"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP SEQUENCE transfer_id_seq")
        op.execute("DROP FUNCTION bitcache_spend")
        op.execute("DROP FUNCTION bitcache_refuse")


def _create_transfers() -> None:
    op.create_table(
        "transfers",
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("from_account", ACCOUNT, nullable=False),
        sa.Column("to_account", ACCOUNT, nullable=False),
        sa.Column("amount_msat", sa.BigInteger(), nullable=False),
        sa.Column("group_id", ID, nullable=False),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "id", name=op.f("pk_transfers")),
        sa.CheckConstraint("amount_msat > 0", name=op.f("ck_transfers_amount_positive")),
        sa.CheckConstraint("from_account <> to_account", name=op.f("ck_transfers_accounts_differ")),
    )
    op.create_index("ix_transfers_from_account", "transfers", ["from_account", "id"])
    op.create_index("ix_transfers_to_account", "transfers", ["to_account", "id"])
    op.create_index(
        "ix_transfers_id",
        "transfers",
        ["id"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    reversal = sa.text("reverses_id IS NOT NULL")
    op.create_index(
        "uq_transfers_reverses_id",
        "transfers",
        ["owner_id", "reverses_id"],
        unique=True,
        sqlite_where=reversal,
        postgresql_where=reversal,
    )


def _create_wallets_and_grants() -> None:
    op.create_table(
        "wallets",
        sa.Column("id", ID, nullable=False),
        sa.Column("balance_msat", sa.BigInteger(), nullable=False),
        sa.Column("only_merchant_id", ID, nullable=True),
        sa.Column("secret_hash", sa.String(128), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallets")),
        sa.CheckConstraint("balance_msat >= 0", name=op.f("ck_wallets_balance_not_negative")),
    )
    op.create_table(
        "grants",
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("site_id", ID, nullable=False),
        sa.Column("price_msat", sa.BigInteger(), nullable=False),
        sa.Column("group_id", ID, nullable=True),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("owner_id", "item_id", "revision", name=op.f("pk_grants")),
        sa.CheckConstraint("price_msat >= 0", name=op.f("ck_grants_price_not_negative")),
    )


def _create_keys_and_checkpoints() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "balance_checkpoints",
        sa.Column("account", ACCOUNT, nullable=False),
        sa.Column("through_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("balance_msat", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "through_id", name=op.f("pk_balance_checkpoints")),
    )
    op.create_index("ix_balance_checkpoints_through_id", "balance_checkpoints", ["through_id"])
