"""The proof that the books balance: every figure that is stored is worked out again.

Reads one unchanging view of the database, in SQL aggregates, so that millions of
transfers need little memory. It changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import func, select, text

from bitcache_server.ledger.chart import parse
from bitcache_server.models.ledger import BalanceCheckpoint, Grant, Transfer, Wallet
from bitcache_server.models.session import AnySession, read_transaction

MAX_FINDINGS_PER_CHECK = 100
"""Whatever is broken more often than that is broken for one reason."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a stable code, what it is about, and words for a person."""

    code: str
    subject: str
    words: str


@dataclass(frozen=True)
class AuditReport:
    """What an audit looked at and what it found."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings


Progress = Callable[[str, int, int], None]
"""Called before each check with its code, its number from 1, and how many there are."""


@dataclass(frozen=True)
class _Check:
    """A query whose rows are all wrong: each has a subject and the values for the words."""

    code: str
    words: str
    query: str


# Every wallet's transfers in one pass; wallets without transfers and transfers
# without a wallet both show.
_WALLET_SUMS = """
SELECT account, sum(amount_msat) AS amount_msat FROM (
  SELECT to_account AS account, amount_msat FROM transfers WHERE to_account LIKE 'wallet:%'
  UNION ALL
  SELECT from_account, -amount_msat FROM transfers WHERE from_account LIKE 'wallet:%'
) AS side GROUP BY account
"""

_CHECKS = (
    _Check(
        "sum_not_zero",
        "All balances together are {0} msat; they must be zero.",
        """
        SELECT 'all accounts', total.msat FROM (
          SELECT (SELECT coalesce(sum(balance_msat), 0) FROM wallets)
               + (SELECT coalesce(sum(amount_msat), 0) FROM transfers
                  WHERE to_account NOT LIKE 'wallet:%')
               - (SELECT coalesce(sum(amount_msat), 0) FROM transfers
                  WHERE from_account NOT LIKE 'wallet:%') AS msat
        ) AS total WHERE total.msat <> 0
        """,
    ),
    _Check(
        "wallet_differs",
        "The wallet stores {0} msat; its transfers sum up to {1} msat.",
        f"""
        SELECT w.id, w.balance_msat, coalesce(s.amount_msat, 0)
        FROM wallets w LEFT JOIN ({_WALLET_SUMS}) s ON s.account = 'wallet:' || w.id
        WHERE w.balance_msat <> coalesce(s.amount_msat, 0) ORDER BY w.id
        """,  # noqa: S608 - joined from constants
    ),
    _Check(
        "wallet_missing",
        "Transfers name a wallet that does not exist; it would hold {0} msat.",
        f"""
        SELECT s.account, s.amount_msat FROM ({_WALLET_SUMS}) s
        WHERE NOT EXISTS (SELECT 1 FROM wallets w WHERE 'wallet:' || w.id = s.account)
        ORDER BY s.account
        """,  # noqa: S608 - joined from constants
    ),
    _Check(
        "wallet_negative",
        "The wallet stores {0} msat; no wallet may be overdrawn.",
        "SELECT id, balance_msat FROM wallets WHERE balance_msat < 0 ORDER BY id",
    ),
    _Check(
        "invoice_negative",
        "More left the invoice than came in: {0} msat.",
        """
        SELECT account, sum(amount_msat) FROM (
          SELECT to_account AS account, amount_msat FROM transfers
          WHERE to_account LIKE 'invoice:%'
          UNION ALL
          SELECT from_account, -amount_msat FROM transfers WHERE from_account LIKE 'invoice:%'
        ) AS side GROUP BY account HAVING sum(amount_msat) < 0 ORDER BY account
        """,
    ),
    # Each checkpoint is compared with the one before it, so that every transfer is
    # summed once however many checkpoints there are.
    _Check(
        "checkpoint_differs",
        "The checkpoint at transfer {0} stores {1} msat; the transfers sum up to {2} msat.",
        """
        SELECT account, through_id, balance_msat, expected FROM (
          SELECT c.account, c.through_id, c.balance_msat,
            c.earlier_msat
            + (SELECT coalesce(sum(t.amount_msat), 0) FROM transfers t
               WHERE t.to_account = c.account
                 AND t.id > c.earlier_id AND t.id <= c.through_id)
            - (SELECT coalesce(sum(t.amount_msat), 0) FROM transfers t
               WHERE t.from_account = c.account
                 AND t.id > c.earlier_id AND t.id <= c.through_id) AS expected
          FROM (
            SELECT account, through_id, balance_msat,
              coalesce(lag(through_id) OVER each_account, 0) AS earlier_id,
              coalesce(lag(balance_msat) OVER each_account, 0) AS earlier_msat
            FROM balance_checkpoints
            WINDOW each_account AS (PARTITION BY account ORDER BY through_id)
          ) AS c
        ) AS again WHERE balance_msat <> expected ORDER BY account, through_id
        """,
    ),
    _Check(
        "reversal_differs",
        "Transfer {0} does not take back transfer {1} exactly.",
        """
        SELECT r.owner_id, r.id, r.reverses_id FROM transfers r
        LEFT JOIN transfers o ON o.owner_id = r.owner_id AND o.id = r.reverses_id
        WHERE r.reverses_id IS NOT NULL AND (
          o.id IS NULL OR o.amount_msat <> r.amount_msat OR o.from_account <> r.to_account
          OR o.to_account <> r.from_account OR o.reverses_id IS NOT NULL OR o.id >= r.id)
        ORDER BY r.owner_id, r.id
        """,
    ),
    _Check(
        "sale_split",
        "The parts of the sale {0} do not come from one account, or one part was booked twice.",
        """
        SELECT owner_id, group_id FROM transfers
        WHERE kind IN ('sale', 'commission', 'rounding')
        GROUP BY owner_id, group_id
        HAVING count(DISTINCT from_account) <> 1 OR count(*) <> count(DISTINCT kind)
        ORDER BY owner_id, group_id
        """,
    ),
    _Check(
        "price_differs",
        "The grant of {0}, revision {1}, was sold for {2} msat; booked are {3} msat.",
        """
        SELECT g.owner_id, g.item_id, g.revision, g.price_msat, coalesce(sum(t.amount_msat), 0)
        FROM grants g LEFT JOIN transfers t ON t.owner_id = g.owner_id
          AND t.group_id = g.group_id AND t.kind IN ('sale', 'commission')
        WHERE g.group_id IS NOT NULL
        GROUP BY g.owner_id, g.item_id, g.revision, g.price_msat
        HAVING coalesce(sum(t.amount_msat), 0) <> g.price_msat
        ORDER BY g.owner_id, g.item_id, g.revision
        """,
    ),
    _Check(
        "id_twice",
        "{0} transfers have the same id.",
        "SELECT id, count(*) FROM transfers GROUP BY id HAVING count(*) > 1 ORDER BY id",
    ),
)

#: On PostgreSQL a transaction that was rolled back leaves a gap; on SQLite none does.
_SQLITE_CHECK = _Check(
    "transfer_missing",
    "The newest transfer has the id {0}, but there are {1} transfers.",
    """
    SELECT 'transfers', newest, number
    FROM (SELECT max(id) AS newest, count(*) AS number FROM transfers) AS t
    WHERE newest <> number
    """,
)

_UNUSUAL_ACCOUNTS = """
SELECT DISTINCT account FROM (
  SELECT from_account AS account FROM transfers UNION ALL SELECT to_account FROM transfers
  UNION ALL SELECT account FROM balance_checkpoints
) AS used
WHERE substr(account, 1, 7) <> 'wallet:' AND substr(account, 1, 8) <> 'invoice:'
  AND substr(account, 1, 9) <> 'merchant:'
ORDER BY account
"""


def audit(session: AnySession, progress: Progress | None = None) -> AuditReport:
    """Work every stored figure out again and return what does not agree."""
    with read_transaction(session):
        checks = list(_CHECKS)
        if session.get_bind().dialect.name == "sqlite":
            checks.append(_SQLITE_CHECK)
        total = len(checks) + 1
        report = AuditReport(counts=_counts(session))
        for number, check in enumerate(checks, start=1):
            if progress:
                progress(check.code, number, total)
            report.findings.extend(_run(session, check))
        if progress:
            progress("unknown_account", total, total)
        report.findings.extend(_unknown_accounts(session))
    return report


def _counts(session: AnySession) -> dict[str, int]:
    tables = {
        "transfers": Transfer,
        "wallets": Wallet,
        "grants": Grant,
        "checkpoints": BalanceCheckpoint,
    }
    return {
        name: session.execute(select(func.count()).select_from(model)).scalar_one()
        for name, model in tables.items()
    }


def _run(session: AnySession, check: _Check) -> list[Finding]:
    rows = session.execute(text(check.query)).fetchmany(MAX_FINDINGS_PER_CHECK)
    return [Finding(check.code, str(row[0]), check.words.format(*row[1:])) for row in rows]


def _unknown_accounts(session: AnySession) -> list[Finding]:
    findings = []
    for name in session.execute(text(_UNUSUAL_ACCOUNTS)).scalars():
        try:
            parse(name)
        except ValueError as error:
            findings.append(Finding("unknown_account", name, str(error)))
    return findings[:MAX_FINDINGS_PER_CHECK]
