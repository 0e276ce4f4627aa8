"""The questions of the audit about the book of sales; see ``audit_checks.py``.

The book is read from the ledger, so that it may lag behind it, and never says otherwise.
"""

from bitcache_server.ledger.audit_check import Check

_THROUGH_ID = "(SELECT max(through_id) FROM sale_cursors WHERE name = 'sales_book')"
_BOOKED = """
  SELECT group_id, to_account, sum(amount_msat) AS amount_msat FROM transfers
  WHERE kind IN ('sale', 'commission') GROUP BY group_id, to_account
"""

BOOK_CHECKS = (
    Check(
        "sale_not_in_book",
        "The sale {0} stands in the ledger before the book's place, and not in the book.",
        f"""
        SELECT t.to_account, t.group_id FROM transfers t
        LEFT JOIN sales s ON s.group_id = t.group_id
          AND 'merchant:' || s.merchant_id = t.to_account
        WHERE t.kind = 'sale' AND t.id <= {_THROUGH_ID} AND s.id IS NULL
        ORDER BY t.to_account, t.group_id
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "book_differs",
        "The book says that the sale {0} brought {1} msat; the ledger says {2} msat.",
        f"""
        SELECT s.merchant_id, s.id, s.net_msat, coalesce(t.amount_msat, 0)
        FROM sales s LEFT JOIN ({_BOOKED}) t ON t.group_id = s.group_id
          AND t.to_account = 'merchant:' || s.merchant_id
        WHERE s.net_msat <> coalesce(t.amount_msat, 0) ORDER BY s.merchant_id, s.id
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "book_commission_differs",
        "The book says that the sale {0} cost a commission of {1} msat; the ledger says {2} msat.",
        f"""
        SELECT s.merchant_id, s.id, s.commission_msat, coalesce(t.amount_msat, 0)
        FROM sales s LEFT JOIN ({_BOOKED}) t ON t.group_id = s.group_id
          AND t.to_account = 'commission'
        WHERE s.kind <> 'share' AND s.commission_msat <> coalesce(t.amount_msat, 0)
        ORDER BY s.merchant_id, s.id
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "book_state_differs",
        "The book says that the sale {0} is {1}; the ledger says otherwise.",
        f"""
        SELECT s.merchant_id, s.id, s.state FROM sales s LEFT JOIN (
          SELECT o.group_id, min(r.id) AS first_id FROM transfers r
          JOIN transfers o ON o.owner_id = r.owner_id AND o.id = r.reverses_id
          WHERE r.reverses_id IS NOT NULL AND o.kind IN ('sale', 'commission')
          GROUP BY o.group_id
        ) AS back ON back.group_id = s.group_id
        WHERE (s.state = 'paid' AND back.first_id <= {_THROUGH_ID})
          OR (s.state <> 'paid' AND back.first_id IS NULL)
        ORDER BY s.merchant_id, s.id
        """,  # noqa: S608 - joined from constants
    ),
)
