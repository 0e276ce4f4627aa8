"""What an account holds: for wallets stored, for all others a checkpoint plus what came after.

A popular merchant is therefore no row that every sale must lock. Checkpoints keep
the sum short; ``checkpoint`` may run at any time, in any number of processes.
"""

import time
from dataclasses import dataclass

from sqlalchemy import BigInteger, func, select, text
from sqlalchemy.sql.elements import ColumnElement

from bitcache_server.domain.errors import StorageBusy, UnknownWallet
from bitcache_server.ledger.chart import AccountKind, parse
from bitcache_server.models.ledger import BalanceCheckpoint, Transfer, Wallet
from bitcache_server.models.session import AnySession, storage_errors, write_transaction

WRITER_PATIENCE_S = 10.0
"""How long ``checkpoint`` waits for transactions that were writing when it began."""
_POLL_S = 0.02


def balance(session: AnySession, account: str) -> int:
    """Return the balance in msat. Raises ValueError outside the chart, UnknownWallet."""
    parsed = parse(account)
    if parsed.stored:
        column = Wallet.gift_msat if parsed.kind is AccountKind.GIFT else Wallet.balance_msat
        stored = session.scalar(select(column).where(Wallet.id == parsed.key))
        if stored is None:
            raise UnknownWallet(f"There is no wallet {parsed.key[:64]!r}.")
        return stored
    through_id, start_msat = _latest_checkpoint(session, account)
    received = _sum_after(Transfer.to_account == account, through_id)
    sent = _sum_after(Transfer.from_account == account, through_id)
    change = session.execute(select(received - sent)).scalar_one()
    return start_msat + int(change)


def _latest_checkpoint(session: AnySession, account: str) -> tuple[int, int]:
    row = session.execute(
        select(BalanceCheckpoint.through_id, BalanceCheckpoint.balance_msat)
        .where(BalanceCheckpoint.account == account)
        .order_by(BalanceCheckpoint.through_id.desc())
        .limit(1)
    ).first()
    return (row[0], row[1]) if row else (0, 0)


def _sum_after(side: ColumnElement[bool], through_id: int) -> ColumnElement[int]:
    query = select(func.coalesce(func.sum(Transfer.amount_msat), 0, type_=BigInteger()))
    return query.where(side, Transfer.id > through_id).scalar_subquery()


@dataclass(frozen=True)
class CheckpointReport:
    """What a run stored: balances through which transfer, of how many accounts."""

    through_id: int
    accounts: int


def checkpoint(session: AnySession, now: int) -> CheckpointReport:
    """Store the balance of every busy account that changed: no wallet, invoice or payout.

    Runs in transactions of its own. Raises StorageBusy when a transaction that was
    writing at the start does not end in time; the next run catches up.
    """
    settled_id = None
    if session.get_bind().dialect.name == "postgresql":
        settled_id = _wait_for_writers(session)
    with write_transaction(session):
        if settled_id is None:
            # On SQLite nobody else writes during a write transaction.
            settled_id = session.scalar(select(func.max(Transfer.id))) or 0
        return CheckpointReport(settled_id, _store(session, settled_id, now))


def settled_id(session: AnySession) -> int:
    """Return an id through which every transfer is committed or will never be.

    For whoever walks the journal in the order of ids and must not miss one. Ends an earlier
    transaction that only read; raises StorageBusy as ``checkpoint`` does.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.rollback()
        return _wait_for_writers(session)
    # SQLite has one writer at a time, so that ids become visible in their order.
    with storage_errors():
        newest_id = session.scalar(select(func.max(Transfer.id))) or 0
    session.rollback()
    return newest_id


def _wait_for_writers(session: AnySession) -> int:
    """Return an id through which every transfer is committed or will never be.

    Ids are taken from a sequence inside INSERT statements, so a transaction that
    has one holds the table's ROW EXCLUSIVE lock until its end, and becomes visible
    before it lets go. First the newest id is read, then those who hold the lock;
    once they ended, no lower id can appear. Nobody is made to wait but this job,
    which a SHARE lock on the table would not achieve.
    """
    newest = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM transfer_id_seq"
    try:
        with storage_errors():
            newest_id = int(session.execute(text(newest)).scalar_one())
            deadline = time.monotonic() + WRITER_PATIENCE_S
            writers = _writers(session)
            while writers & _writers(session):
                if time.monotonic() > deadline:
                    raise StorageBusy("A transaction has been writing for too long; try again.")
                time.sleep(_POLL_S)
    finally:
        session.rollback()
    return newest_id


def _writers(session: AnySession) -> set[str]:
    """Return the transactions that write transfers now (PostgreSQL)."""
    query = text(
        "SELECT virtualtransaction FROM pg_locks WHERE granted AND mode = 'RowExclusiveLock'"
        " AND locktype = 'relation' AND relation = 'transfers'::regclass"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return set(session.scalars(query))


_STORE = """
INSERT INTO balance_checkpoints (account, through_id, balance_msat, created_at)
SELECT change.account, :through_id, change.amount_msat + coalesce((
         SELECT balance_msat FROM balance_checkpoints AS earlier
         WHERE earlier.account = change.account AND earlier.through_id <= :since_id
         ORDER BY earlier.through_id DESC LIMIT 1), 0), :now
FROM (
  SELECT account, sum(amount_msat) AS amount_msat FROM (
    SELECT to_account AS account, amount_msat FROM transfers
    WHERE id > :since_id AND id <= :through_id
    UNION ALL
    SELECT from_account, -amount_msat FROM transfers
    WHERE id > :since_id AND id <= :through_id
  ) AS side
  WHERE account NOT LIKE 'wallet:%' AND account NOT LIKE 'gift:%'
    AND account NOT LIKE 'invoice:%' AND account NOT LIKE 'payout:%'
  GROUP BY account
) AS change
WHERE true
ON CONFLICT DO NOTHING
"""


def _store(session: AnySession, through_id: int, now: int) -> int:
    newest = session.scalar(
        select(func.max(BalanceCheckpoint.through_id)).where(
            BalanceCheckpoint.through_id <= through_id
        )
    )
    values = {"since_id": newest or 0, "through_id": through_id, "now": now}
    result = session.connection().execute(text(_STORE), values)
    return result.rowcount
