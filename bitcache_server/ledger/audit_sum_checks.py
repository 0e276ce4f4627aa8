"""The questions of the audit about the sums that pages read instead of sales.

They are written in the transaction that writes the book (``services/sale_sums.py``), so that
they agree with it at every moment: what was sold counts at the time of the sale, what was taken
back at the time of that.
"""

from bitcache_server.ledger.audit_check import Check

_QUARTER_S = 900
_DAY_S = 86_400
_CURRENCY = "CASE WHEN fiat_minor IS NULL THEN '' ELSE fiat_currency END"
#: A database's own arithmetic, exact enough: each sale is rounded to a whole number.
_MILLI = "coalesce(fiat_minor * 1000.0 * net_msat / price_msat, 0)"


def _moved(column: str, sign: str) -> str:
    return (
        f"SELECT merchant_id, {column} / {_QUARTER_S} AS quarter, {_CURRENCY} AS currency,"  # noqa: S608 - joined from constants
        f" {sign}net_msat AS msat, {sign}1 AS sales, {sign}{_MILLI} AS milli"
        f" FROM sales WHERE {column} IS NOT NULL"
    )


_QUARTERS = " UNION ALL ".join(
    (
        _moved("created_at", ""),
        _moved("refunded_at", "-"),
        _moved("reversed_at", "-"),
        "SELECT merchant_id, quarter, currency, -net_msat, -sales, -milli_minor"
        " FROM taking_quarters",
    )
)
_ITEM_DAYS = f"""
  SELECT item_id, created_at / {_DAY_S} AS day, 1 AS paid,
         CASE WHEN invoice_id = '' THEN 1 ELSE 0 END AS clicked, net_msat AS msat
  FROM sales WHERE kind = 'sale' AND state = 'paid'
  UNION ALL
  SELECT item_id, day, -paid, -clicked, -revenue_msat FROM item_days
"""  # noqa: S608 - joined from constants

SUM_CHECKS = (
    Check(
        "takings_differ",
        "The takings of the quarter of an hour {0} ({1}) lack {2} msat, {3} sales or their worth.",
        f"""
        SELECT merchant_id, quarter, currency, sum(msat), sum(sales)
        FROM ({_QUARTERS}) AS part GROUP BY merchant_id, quarter, currency
        HAVING sum(msat) <> 0 OR sum(sales) <> 0 OR abs(sum(milli)) > count(*)
        ORDER BY merchant_id, quarter, currency
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "item_day_differs",
        "The sums of the item's day {0} lack {1} sales, {2} of them by one click, or {3} msat.",
        f"""
        SELECT part.item_id, part.day, sum(part.paid), sum(part.clicked), sum(part.msat)
        FROM ({_ITEM_DAYS}) AS part
        JOIN items i ON i.id = part.item_id AND i.kind <> 'order'
        GROUP BY part.item_id, part.day
        HAVING sum(part.paid) <> 0 OR sum(part.clicked) <> 0 OR sum(part.msat) <> 0
        ORDER BY part.item_id, part.day
        """,  # noqa: S608 - joined from constants
    ),
)
