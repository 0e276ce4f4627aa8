"""Invoices that are asked for over Lightning, many in one statement (PostgreSQL).

What they were made from was read before. The statement looks whether that is still so, and
leaves out each one for which it is not, whose key was used or whose payment hash is known.
"""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from bitcache_server.extensions import Model

#: A row by the names of its columns.
Values = Mapping[str, object]

#: Changes with every change of what an offer is made from: PostgreSQL gives a row another
#: xmin whenever it is written (https://www.postgresql.org/docs/current/ddl-system-columns.html).
_VERSION = """
SELECT i.id AS item_id, i.site_id,
       concat_ws(' ', i.xmin, s.xmin, m.xmin, r.xmin,
                 (SELECT string_agg(xmin::text, ' ' ORDER BY rail) FROM rail_status)) AS version
  FROM items i JOIN sites s ON s.id = i.site_id JOIN merchants m ON m.id = s.merchant_id
  LEFT JOIN rates r ON r.currency = i.price_currency
"""
_READ_VERSION = text(f"SELECT version FROM ({_VERSION} WHERE i.id = :item_id) found")  # noqa: S608 - made of constants
_STORE = f"""
WITH orders AS MATERIALIZED (
  SELECT * FROM ROWS FROM (
      json_to_recordset(%s::json)
        AS (item_id text, version text, origin text, target text, rail text,
            invoice json, request json, key json)
    ) WITH ORDINALITY
      AS o (item_id, version, origin, target, rail, invoice, request, key, n)
), good AS MATERIALIZED (
  SELECT o.* FROM orders o
    JOIN ({_VERSION} WHERE i.id IN (SELECT item_id FROM orders)) now
      ON now.item_id = o.item_id AND now.version = o.version
   WHERE (o.origin IS NULL OR EXISTS (
           SELECT FROM site_origins x WHERE x.site_id = now.site_id AND x.origin = o.origin))
     AND NOT EXISTS (
           SELECT FROM payment_requests x WHERE x.target = o.target AND x.rail = o.rail)
), keyed AS (
  INSERT INTO idempotency_keys
  SELECT row.* FROM good, json_populate_record(NULL::idempotency_keys, good.key) row
   WHERE good.key IS NOT NULL ORDER BY row.owner_id, row.key
  ON CONFLICT DO NOTHING RETURNING result
), chosen AS (
  SELECT * FROM good WHERE key IS NULL OR key ->> 'result' IN (SELECT result FROM keyed)
), sold AS (
  INSERT INTO invoices
  SELECT row.* FROM chosen, json_populate_record(NULL::invoices, chosen.invoice) row
), asked AS (
  INSERT INTO payment_requests
  SELECT row.* FROM chosen, json_populate_record(NULL::payment_requests, chosen.request) row
)
SELECT n FROM chosen
"""  # noqa: S608 - made of constants
_USED_KEYS = """
SELECT o.n FROM json_to_recordset(%s::json) AS o (n int, owner_id text, key text)
  JOIN idempotency_keys k ON k.owner_id = o.owner_id AND k.key = o.key
"""


def read_version(session: Session, item_id: str) -> str | None:
    """Return what stands for all that an item's offer is made from; None without the item.

    Read it before the offer: then a change between the two is noticed.
    """
    return session.execute(_READ_VERSION, {"item_id": item_id}).scalar()


def are_free(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[bool]:
    """Return for each owner and idempotency key whether it was not used yet."""
    asked = [{"n": n, "owner_id": owner, "key": key} for n, (owner, key) in enumerate(keys)]
    used = set(connection.exec_driver_sql(_USED_KEYS, (json.dumps(asked),)).scalars())
    return [n not in used for n in range(len(keys))]


def sale_json(
    version: str, origin: str | None, invoice: Values, request: Values, key: object
) -> str:
    """Return an invoice with its request, column by column, and what they were made from.

    ``origin`` is the page's, where it must be one of the site's. ``key`` is a used key's row
    or None; its ``result`` names the invoice and so is never that of another.
    """
    return json.dumps(
        {
            "item_id": invoice["item_id"],
            "version": version,
            "origin": origin,
            "target": request["target"],
            "rail": request["rail"],
            "invoice": invoice,
            "request": request,
            "key": key,
        },
        separators=(",", ":"),
    )


def store_together(connection: Connection, sales: Sequence[str]) -> list[bool]:
    """Store those of ``sale_json`` that are still right; return for each whether it was."""
    stored = set(connection.exec_driver_sql(_STORE, (f"[{','.join(sales)}]",)).scalars())
    return [n in stored for n in range(1, len(sales) + 1)]


def columns_of(row: Model) -> Values:
    """Return what a row holds, by the names of its columns."""
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}
