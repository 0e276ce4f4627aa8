"""The questions of the audit, as SQL that both engines understand.

Each query returns rows that are all wrong: a subject first, then the values for the
words. None returns anything while the books are sound. Codes are API and never change.
"""

from bitcache_server.ledger.audit_book_checks import BOOK_CHECKS
from bitcache_server.ledger.audit_check import Check, sums
from bitcache_server.ledger.audit_payout_checks import PAYOUT_CHECKS
from bitcache_server.ledger.audit_sum_checks import SUM_CHECKS


def _stored_differs(code: str, prefix: str, column: str, words: str) -> Check:
    query = f"""
        SELECT w.id, w.{column}, coalesce(s.amount_msat, 0)
        FROM wallets w LEFT JOIN ({sums(prefix)}) s ON s.account = '{prefix}:' || w.id
        WHERE w.{column} <> coalesce(s.amount_msat, 0) ORDER BY w.id
        """  # noqa: S608 - joined from constants
    return Check(code, words, query)


def _negative(code: str, prefix: str, words: str) -> Check:
    query = f"""
        SELECT account, amount_msat FROM ({sums(prefix)}) s
        WHERE amount_msat < 0 ORDER BY account
        """  # noqa: S608 - joined from constants
    return Check(code, words, query)


_BALANCE_CHECKS = (
    Check(
        "sum_not_zero",
        "All balances together are {0} msat; they must be zero.",
        """
        SELECT 'all accounts', total.msat FROM (
          SELECT (SELECT coalesce(sum(balance_msat + gift_msat), 0) FROM wallets)
               + (SELECT coalesce(sum(amount_msat), 0) FROM transfers
                  WHERE to_account NOT LIKE 'wallet:%' AND to_account NOT LIKE 'gift:%')
               - (SELECT coalesce(sum(amount_msat), 0) FROM transfers
                  WHERE from_account NOT LIKE 'wallet:%' AND from_account NOT LIKE 'gift:%')
               AS msat
        ) AS total WHERE total.msat <> 0
        """,
    ),
    _stored_differs(
        "wallet_differs",
        "wallet",
        "balance_msat",
        "The wallet stores {0} msat; its transfers sum up to {1} msat.",
    ),
    _stored_differs(
        "gift_differs",
        "gift",
        "gift_msat",
        "The wallet stores {0} msat of a gift; its transfers sum up to {1} msat.",
    ),
    Check(
        "wallet_missing",
        "Transfers name a wallet that does not exist; it would hold {0} msat.",
        f"""
        SELECT s.account, s.amount_msat FROM ({sums("wallet", "gift")}) s
        WHERE NOT EXISTS (SELECT 1 FROM wallets w WHERE w.id = substr(
          s.account, CASE WHEN s.account LIKE 'wallet:%' THEN 8 ELSE 6 END))
        ORDER BY s.account
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "wallet_negative",
        "The wallet stores {0} msat; no wallet may be overdrawn.",
        "SELECT id, balance_msat FROM wallets WHERE balance_msat < 0 ORDER BY id",
    ),
    Check(
        "gift_negative",
        "The wallet stores {0} msat of a gift; none may be overdrawn.",
        "SELECT id, gift_msat FROM wallets WHERE gift_msat < 0 ORDER BY id",
    ),
    Check(
        "closed_wallet_holds",
        "The wallet was deleted and holds {0} msat of its own and {1} msat of a gift.",
        """
        SELECT id, balance_msat, gift_msat FROM wallets
        WHERE closed_at IS NOT NULL AND (balance_msat <> 0 OR gift_msat <> 0) ORDER BY id
        """,
    ),
    _negative("invoice_negative", "invoice", "More left the invoice than came in: {0} msat."),
    _negative("payout_negative", "payout", "More left the payout than was reserved: {0} msat."),
    # Each checkpoint is compared with the one before it, so that every transfer is
    # summed once however many checkpoints there are.
    Check(
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
)

_SALE_CHECKS = (
    Check(
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
    # A wallet pays a part from its starter credit and its own money: two transfers to one
    # payee. Sales that were brought in from elsewhere come from the opening account.
    Check(
        "sale_split",
        "The parts of the sale {0} do not come from their payer alone, go to somebody who "
        "sells nothing, or one was booked twice.",
        """
        SELECT owner_id, group_id FROM transfers
        WHERE kind IN ('sale', 'commission', 'rounding')
        GROUP BY owner_id, group_id
        HAVING sum(CASE WHEN from_account IN ('wallet:' || owner_id, 'gift:' || owner_id,
                                              'invoice:' || owner_id, 'opening')
                    THEN 0 ELSE 1 END) > 0
          OR sum(CASE WHEN kind = 'sale' AND to_account LIKE 'merchant:%' THEN 0
                      WHEN kind = to_account THEN 0 ELSE 1 END) > 0
          OR count(*) <> count(DISTINCT from_account || '>' || to_account)
        ORDER BY owner_id, group_id
        """,
    ),
    Check(
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
    Check(
        "refund_differs",
        "The refund of {0} says {1} msat; {2} msat of {3} msat were taken back.",
        """
        SELECT owner_id, group_id, amount_msat, taken_back, sold FROM (
          SELECT f.owner_id, f.group_id, f.amount_msat,
            (SELECT coalesce(sum(t.amount_msat), 0) FROM transfers t
             WHERE t.owner_id = f.owner_id AND t.group_id = f.group_id
               AND t.kind IN ('sale', 'commission')) AS sold,
            (SELECT coalesce(sum(t.amount_msat), 0) FROM transfers t
             JOIN transfers o ON o.owner_id = t.owner_id AND o.id = t.reverses_id
             WHERE t.owner_id = f.owner_id AND t.group_id = f.refund_group
               AND o.group_id = f.group_id AND o.kind IN ('sale', 'commission')) AS taken_back
          FROM refunds f
        ) AS each_refund
        WHERE taken_back <> sold OR amount_msat <> sold OR sold = 0
        ORDER BY owner_id, group_id
        """,
    ),
    Check(
        "refund_grant_alive",
        "The purchase {0} was given back, but its grant for {1} still opens.",
        """
        SELECT f.owner_id, f.group_id, g.item_id FROM refunds f
        JOIN grants g ON g.owner_id = f.owner_id AND g.group_id = f.group_id
        WHERE g.revoked_at IS NULL ORDER BY f.owner_id, f.group_id
        """,
    ),
)

_INVOICE_CHECKS = (
    Check(
        "receipt_unknown",
        "The invoice got {0} msat in the group {1}, which no payment names.",
        """
        SELECT t.owner_id, t.amount_msat, t.group_id FROM transfers t
        JOIN invoices i ON i.id = t.owner_id
        LEFT JOIN payments p ON p.invoice_id = t.owner_id AND p.receipt_group = t.group_id
        LEFT JOIN transfers r ON r.owner_id = t.owner_id AND r.reverses_id = t.id
        WHERE t.kind = 'receipt' AND p.invoice_id IS NULL AND r.id IS NULL
        ORDER BY t.owner_id, t.id
        """,
    ),
    Check(
        "receipt_differs",
        "{0} brought {1} msat; booked are {2} msat.",
        """
        SELECT p.invoice_id, p.reference, p.amount_msat, coalesce(sum(t.amount_msat), 0)
        FROM payments p LEFT JOIN transfers t ON t.owner_id = p.invoice_id
          AND t.group_id = p.receipt_group AND t.kind = 'receipt'
        WHERE p.receipt_group IS NOT NULL
        GROUP BY p.invoice_id, p.rail, p.reference, p.amount_msat
        HAVING coalesce(sum(t.amount_msat), 0) <> p.amount_msat
        ORDER BY p.invoice_id, p.reference
        """,
    ),
    Check(
        "claimed_differs",
        "The invoice says that {0} msat became a balance; booked are {1} msat.",
        """
        SELECT id, claimed_msat, booked FROM (
          SELECT i.id, i.claimed_msat, coalesce(sum(
              CASE WHEN t.from_account = 'invoice:' || i.id THEN t.amount_msat
                   WHEN t.to_account = 'invoice:' || i.id THEN -t.amount_msat END), 0) AS booked
          FROM invoices i LEFT JOIN transfers t
            ON t.owner_id = i.id AND t.kind IN ('claim', 'top_up')
          GROUP BY i.id, i.claimed_msat
        ) AS each_invoice WHERE claimed_msat <> booked ORDER BY id
        """,
    ),
    Check(
        "credit_not_backed",
        "The invoice promises a credit of {0} msat; it holds {1} msat.",
        f"""
        SELECT i.id, i.credit_msat, coalesce(s.amount_msat, 0)
        FROM invoices i LEFT JOIN ({sums("invoice")}) s ON s.account = 'invoice:' || i.id
        WHERE i.credit_msat > coalesce(s.amount_msat, 0) ORDER BY i.id
        """,  # noqa: S608 - joined from constants
    ),
)

_GIFT_CHECKS = (
    Check(
        "gift_not_booked",
        "The wallet was given a gift of {0} msat; booked are {1} msat.",
        """
        SELECT g.wallet_id, g.amount_msat, coalesce(sum(t.amount_msat), 0)
        FROM gifts g LEFT JOIN transfers t ON t.to_account = 'gift:' || g.wallet_id
          AND t.from_account = 'promotion' AND t.kind = 'gift'
        GROUP BY g.wallet_id, g.amount_msat
        HAVING coalesce(sum(t.amount_msat), 0) <> g.amount_msat ORDER BY g.wallet_id
        """,
    ),
    # Together, not each day: a gift at midnight may be counted on the day before.
    Check(
        "gift_days_differ",
        "The days count {0} msat as given; the gifts sum up to {1} msat.",
        """
        SELECT 'gift_days', counted, given FROM (
          SELECT (SELECT coalesce(sum(given_msat), 0) FROM gift_days) AS counted,
                 (SELECT coalesce(sum(amount_msat), 0) FROM gifts) AS given
        ) AS both_sums WHERE counted <> given
        """,
    ),
)

CHECKS = (
    *_BALANCE_CHECKS,
    *_SALE_CHECKS,
    *_INVOICE_CHECKS,
    *_GIFT_CHECKS,
    *PAYOUT_CHECKS,
    *BOOK_CHECKS,
    *SUM_CHECKS,
    Check(
        "id_twice",
        "{0} transfers have the same id.",
        "SELECT id, count(*) FROM transfers GROUP BY id HAVING count(*) > 1 ORDER BY id",
    ),
)

#: On PostgreSQL a transaction that was rolled back leaves a gap; on SQLite none does.
SQLITE_CHECK = Check(
    "transfer_missing",
    "The newest transfer has the id {0}, but there are {1} transfers.",
    """
    SELECT 'transfers', newest, number
    FROM (SELECT max(id) AS newest, count(*) AS number FROM transfers) AS t
    WHERE newest <> number
    """,
)

UNUSUAL_ACCOUNTS = """
SELECT DISTINCT account FROM (
  SELECT from_account AS account FROM transfers UNION ALL SELECT to_account FROM transfers
  UNION ALL SELECT account FROM balance_checkpoints
) AS used
WHERE account NOT LIKE 'wallet:%' AND account NOT LIKE 'gift:%' AND account NOT LIKE 'invoice:%'
  AND account NOT LIKE 'merchant:%' AND account NOT LIKE 'payout:%'
ORDER BY account
"""
"""Names that are worth a look: the many others have a known prefix and a key of our making."""
