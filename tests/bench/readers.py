"""Readers, sites and items by the hundred thousand, and what they send."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import Session

from bitcache_server.ledger.audit import audit
from bitcache_server.models import migrate
from bitcache_server.models.session import configure_engine, normalise_url
from bitcache_server.tokens.allowances import AllowanceClaims, issue_allowance
from bitcache_server.tokens.secrets import new_grant_secret
from tests.bench.server import requests_per_second
from tests.bench.stock import SECRET_KEY, environment

SITES = 100
ITEMS_PER_SITE = 40
ORIGIN = "https://blog.example"
PRICE_MSAT, COMMISSION_MSAT = 1_000, 10
RICH_MSAT = 10**12
WARM_FIRST = 1_000

#: The server's own settings, the same for every yardstick. Without the second and third,
#: a bench would mostly measure how the minutes after a checkpoint go.
SERVER_OPTIONS = {
    "max_connections": "300",
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "on",
}

#: {merchant} is the merchant of site n: a number, or n itself.
_STOCK = """
INSERT INTO merchants (id, name, created_at, payout_threshold_msat, payout_every_s,
                       refund_window_s, refunds_per_reader)
  SELECT 'me_' || n, 'Merchant', {now}, 0, 0, 0, 0 FROM generate_series(0, {sites} - 1) n;
INSERT INTO sites (id, merchant_id, name, secret_hash, created_at)
  SELECT 'st_' || n, 'me_' || {merchant}, 'Site', '', {now} FROM generate_series(0, {sites} - 1) n;
INSERT INTO site_origins (site_id, origin)
  SELECT 'st_' || n, '{origin}' FROM generate_series(0, {sites} - 1) n;
INSERT INTO site_keys (site_id, number, secret, created_at)
  SELECT 'st_' || n, 1, '{secret}', {now} FROM generate_series(0, {sites} - 1) n;
INSERT INTO items (id, site_id, kind, title, teaser, price_currency, price_amount, content_html,
                   created_at)
  SELECT 'it_' || n || '_' || i, 'st_' || n, 'article', 'Item', '', 'SAT', 1, '<p>x</p>', {now}
  FROM generate_series(0, {sites} - 1) n, generate_series(0, {items} - 1) i;
INSERT INTO wallets (id, balance_msat, gift_msat, created_at)
  SELECT 'wa_' || n, {rich} - {price} * {purchases}, 0, {now}
  FROM generate_series(0, {wallets} - 1) n;
INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat, group_id,
                       created_at)
  SELECT 'wa_' || n, nextval('transfer_id_seq'), 'top_up', 'opening', 'wallet:wa_' || n, {rich},
         'gr_' || n, {now}
  FROM generate_series(0, {wallets} - 1) n;
INSERT INTO allowances (wallet_id, id, site_id, origin, per_item_msat, per_day_msat, auto_msat,
                        day, spent_msat, created_at, expires_at)
  SELECT 'wa_' || n, 'al_' || n, 'st_' || mod(n, {sites}), '{origin}', {rich}, {rich}, 0, 0, 0,
         {now}, {now} + 8640000
  FROM generate_series(0, {wallets} - 1) n
"""
#: What the same wallets bought long ago, in the order in which it was bought.
_HISTORY = """
INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat, group_id,
                       created_at)
  SELECT 'wa_' || n, nextval('transfer_id_seq'), part.kind, 'wallet:wa_' || n,
         CASE part.kind WHEN 'sale' THEN 'merchant:me_' || mod(n, {sites}) ELSE 'commission' END,
         part.msat, 'gr_' || p || '_' || n, {now} - 1000000 + p
  FROM generate_series(1, {purchases}) p, generate_series(0, {wallets} - 1) n,
       (VALUES ('sale', {price} - {commission}), ('commission', {commission})) part (kind, msat);
INSERT INTO grants (owner_id, item_id, revision, site_id, price_msat, group_id, issued_at)
  SELECT 'wa_' || n, 'it_old_' || p, 1, 'st_' || mod(n, {sites}), {price},
         'gr_' || p || '_' || n, {now} - 1000000 + p
  FROM generate_series(1, {purchases}) p, generate_series(0, {wallets} - 1) n
"""
#: Each wallet buys something once, so that every page that is written often has been.
_WARM_UP = """
SELECT count(*) FROM (
  SELECT bitcache_spend('wa_' || n, NULL, NULL, 'gr_warm_' || n, 'st_' || mod(n, {sites}),
    'it_warm', ARRAY['merchant:me_' || mod(n, {sites}), 'commission'],
    ARRAY[{price} - {commission}, {commission}]::bigint[], NULL, NULL, 'al_' || n, false, {now},
    true)
  FROM generate_series({since}, {until} - 1) n) done
"""

_LUA = """
local tokens = {{}}
for line in io.lines("{tokens}") do tokens[#tokens + 1] = line end
local next = {first}
wrk.method = "POST"
request = function()
  local wallet = next % {wallets}
  local item = math.floor(next / {wallets})
  next = next + 1
  local body = string.format('{{"item":"it_%d_%d","max_amount_msat":{price}}}',
                             wallet % {sites}, item)
  return wrk.format("POST", "/v1/unlocks", {{
    ["Content-Type"] = "application/json", ["Origin"] = "{origin}",
    ["Idempotency-Key"] = "click-" .. next,
    ["Authorization"] = "Bearer " .. tokens[wallet + 1]}}, body)
end
"""


@dataclass
class Readers:
    """A stocked database and the tokens of its readers."""

    url: str
    folder: Path
    environment: dict[str, str]
    wallets: int
    first: int = 0

    def script(self, requests: int = 0) -> str:
        """Return a script for wrk that unlocks what was not unlocked before.

        Each wallet buys each item of its site once; ``requests`` is more than will be sent.
        """
        return _LUA.format(
            tokens=self.folder / "tokens",
            first=self.take(requests),
            wallets=self.wallets,
            sites=SITES,
            price=PRICE_MSAT,
            origin=ORIGIN,
        )

    def take(self, requests: int) -> int:
        """Return the number of the first of so many unlocks that nobody else makes."""
        first, self.first = self.first, self.first + requests
        if self.first > self.wallets * ITEMS_PER_SITE:
            raise RuntimeError("Everybody has everything.")
        return first

    def request(self, number: int) -> bytes:
        """Return the numbered unlock as it goes over the wire."""
        wallet, item = number % self.wallets, number // self.wallets
        body = f'{{"item":"it_{wallet % SITES}_{item}","max_amount_msat":{PRICE_MSAT}}}'
        return (
            f"POST /v1/unlocks HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\n"
            f"Authorization: Bearer {self.tokens[wallet]}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: click-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    @cached_property
    def tokens(self) -> list[str]:
        """Return the allowance of each wallet."""
        return (self.folder / "tokens").read_text().splitlines()

    def unlocks_per_second(self, base_url: str, seconds: float) -> float:
        """Return how many grants a second came into being; raise RuntimeError otherwise."""
        requests_per_second(f"{base_url}/v1/unlocks", 1, self.script(10_000))
        before = self._scalar("SELECT count(*) FROM grants")
        sent = requests_per_second(
            f"{base_url}/v1/unlocks", seconds, self.script(int(10_000 * seconds))
        )
        booked = (self._scalar("SELECT count(*) FROM grants") - before) / seconds
        if booked < 0.95 * sent:
            raise RuntimeError(f"{sent:.0f} answers a second, but {booked:.0f} unlocks.")
        return sent

    def transfers(self) -> int:
        """Return how many transfers there are."""
        return self._scalar("SELECT count(*) FROM transfers")

    def require_clean_books(self) -> None:
        """Raise RuntimeError when the audit finds anything."""
        engine = configure_engine(create_engine(normalise_url(self.url)))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        with Session(engine) as session:
            findings = audit(session).findings
        engine.dispose()
        if findings:
            raise RuntimeError(f"The books do not balance: {findings[:3]}")

    def _scalar(self, query: str) -> int:
        engine = create_engine(normalise_url(self.url))
        with engine.connect() as connection:
            found = int(connection.execute(text(query)).scalar_one())
        engine.dispose()
        return found


@contextmanager
def readers(
    url: str, *, one_merchant: bool = False, wallets: int = 100_000, transfers: int = 0
) -> Iterator[Readers]:
    """Give a migrated database with rich wallets, each with an allowance for one of the sites.

    ``transfers`` is about how many the ledger holds already; each wallet has at least one.
    """
    migrate.upgrade(url)
    now = int(time.time())
    values = {
        "now": now,
        "sites": SITES,
        "items": ITEMS_PER_SITE,
        "wallets": wallets,
        "purchases": max(0, (transfers - wallets) // (2 * wallets)),
        "price": PRICE_MSAT,
        "commission": COMMISSION_MSAT,
        "rich": RICH_MSAT,
        "origin": ORIGIN,
        "secret": new_grant_secret(),
        "merchant": "0" if one_merchant else "n",
    }
    engine = create_engine(normalise_url(url))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _run(connection, _STOCK.format(**values))
        if values["purchases"]:
            with _without_indexes(connection):
                _run(connection, _HISTORY.format(**values))
        # A table that was empty when its statistics were made would be read from end to end.
        _run(connection, _WARM_UP.format(since=0, until=WARM_FIRST, **values))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
        _run(connection, _WARM_UP.format(since=WARM_FIRST, until=wallets, **values))
    engine.dispose()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "tokens").open("w") as file:
            for n in range(wallets):
                claims = AllowanceClaims(f"wa_{n}", f"al_{n}", f"st_{n % SITES}", ORIGIN)
                file.write(issue_allowance(SECRET_KEY, claims, now) + "\n")
        yield Readers(url, folder, environment(name, url), wallets)


def _run(connection: Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(text(statement.replace(":", "\\:")))


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Take away what makes filling a table slow, and make it again from the same definition."""
    tables = "('transfers', 'grants')"
    indexes = connection.execute(
        text(
            "SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
            f" WHERE t.relname IN {tables} AND NOT i.indisprimary"
        )
    ).all()
    keys = connection.execute(
        text(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'p' AND conrelid IN ('transfers'::regclass, 'grants'::regclass)"
        )
    ).all()
    for name, _ in indexes:
        connection.execute(text(f"DROP INDEX {name}"))
    for table, name, _ in keys:
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    yield
    connection.execute(text("SET maintenance_work_mem = '1GB'"))
    for table, name, definition in keys:
        connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"))
    for _, definition in indexes:
        connection.execute(text(definition))


def pgbench_script(wallets: int = 100_000) -> str:
    """Return the same spends as SQL for pgbench, each of a new item, at this time.

    It would take a colon within quotes for the beginning of a variable.
    """
    return rf"""
\set w random(0, {wallets - 1})
\set s :w % {SITES}
\set k1 random(1, 9000000000000000000)
\set k2 random(1, 9000000000000000000)
SELECT outcome, result FROM bitcache_spend(
  'wa_' || :w, :k1 || '-' || :k2, repeat('0', 64), 'gr_' || :k1, 'st_' || :s, 'it_' || :k2,
  ARRAY[E'merchant\x3ame_' || :s, 'commission'],
  ARRAY[{PRICE_MSAT - COMMISSION_MSAT}, {COMMISSION_MSAT}]::bigint[],
  {PRICE_MSAT}, NULL, 'al_' || :w, false, {int(time.time())}, true);
"""
