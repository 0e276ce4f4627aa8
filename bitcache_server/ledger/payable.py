"""What of a merchant's balance can leave: not what may still be taken back by itself.

Sales that nobody has confirmed in a block can be double spent, and what a reader bought
from their balance a moment ago can be undone. Money that left the rail is gone, so both
stay until they are certain.
"""

from sqlalchemy import text

from bitcache_server.ledger import chart
from bitcache_server.models.session import AnySession

# One statement, so that it sees one moment: a sale that is taken back meanwhile is in
# both figures or in neither. What counts is what the account got of an invoice less what
# it gave back, found by the few invoices: IN keeps SQLite from the account's index, which
# has all sales. A sale in the window is newer than every checkpoint from before it.
_PROVEN = text("""
WITH newest AS (
  SELECT coalesce(max(through_id), 0) AS id FROM balance_checkpoints WHERE account = :account
), older AS (
  SELECT coalesce(max(through_id), 0) AS id FROM balance_checkpoints
  WHERE account = :account AND created_at < :since
)
SELECT
  coalesce((SELECT c.balance_msat FROM balance_checkpoints c
            WHERE c.account = :account AND c.through_id = (SELECT id FROM newest)), 0)
  + coalesce((SELECT sum(t.amount_msat) FROM transfers t
              WHERE t.to_account = :account AND t.id > (SELECT id FROM newest)), 0)
  - coalesce((SELECT sum(t.amount_msat) FROM transfers t
              WHERE t.from_account = :account AND t.id > (SELECT id FROM newest)), 0)
  - coalesce((
      SELECT sum(each_invoice.msat) FROM (
        SELECT sum(CASE WHEN t.to_account = :account THEN t.amount_msat
                        ELSE -t.amount_msat END) AS msat
        FROM transfers t
        WHERE t.owner_id IN (
            SELECT p.invoice_id FROM payments p
            WHERE p.rail IN (SELECT r.rail FROM rail_status r)
              AND p.block_height IS NULL AND NOT p.final AND p.receipt_group IS NOT NULL)
          AND :account IN (t.to_account, t.from_account)
        GROUP BY t.owner_id
      ) AS each_invoice WHERE each_invoice.msat > 0), 0)
  - coalesce((
      SELECT sum(t.amount_msat) FROM transfers t
      LEFT JOIN transfers r ON r.owner_id = t.owner_id AND r.reverses_id = t.id
      WHERE t.to_account = :account AND t.id > (SELECT id FROM older)
        AND t.kind = 'sale' AND t.created_at BETWEEN :since AND :until
        AND (t.from_account LIKE 'wallet:%' OR t.from_account LIKE 'gift:%')
        AND r.id IS NULL), 0)
""")


def proven_msat(session: AnySession, merchant_id: str, now: int, undo_window_s: int) -> int:
    """Return the balance less what is unconfirmed or can be undone, in msat.

    Negative where the merchant owes, or gave back more than what is certain.
    """
    values = {
        "account": chart.merchant(merchant_id),
        # Without a window nothing can be undone, not even in this second.
        "since": now - undo_window_s if undo_window_s else now + 1,
        "until": now + undo_window_s,
    }
    return int(session.execute(_PROVEN, values).scalar_one())
