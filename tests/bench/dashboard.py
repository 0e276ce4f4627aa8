"""Pages of the dashboard and lists of the API with 1,000 and with 100,000 sales (PostgreSQL).

Both shops are measured in turns in one process; the time that the database takes is counted
apart from the rest, statement by statement. The sales come into the book as they do in life:
the ledger is filled, the job reads it, and another one writes the checkpoints of balances.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import event, text

from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.models.session import write_transaction
from bitcache_server.services.housekeeping import checkpoint_balances
from bitcache_server.services.sales_book import sales_book
from tests.bench.table import Row
from tests.support.dashboard import Person, sign_in
from tests.support.postgres import PostgresServer
from tests.support.world import World, make_settings, make_world

FEW, MANY = 1_000, 100_000
DAYS = 90
BUDGET_MS = 100
ROUNDS = 7

#: n counts the sales; each tenth was paid by an invoice of its own.
_FILL = """
INSERT INTO items (id, site_id, kind, title, teaser, price_currency, price_amount, content_html,
                   created_at)
  SELECT 'it_' || n, '{site}', 'article', 'Article number ' || n, '', 'SAT', 1000, '<p>x</p>',
         {begin} + n
  FROM generate_series(1, {items}) n;
INSERT INTO rate_history (currency, as_of, price_per_btc, sources)
  SELECT 'USD', {begin} + n * 3600, '100000', 'bench' FROM generate_series(0, 24 * {days}) n
  ON CONFLICT DO NOTHING;
INSERT INTO invoices (id, item_id, site_id, merchant_id, direct, amount_msat, price_currency,
                      price_amount, challenge, state, marks, received_msat, missing_msat,
                      credit_msat, redeemed_msat, claimed_msat, sale_group, paid_at, created_at,
                      expires_at, changed_at, version)
  SELECT 'in_' || n, 'it_' || 1 + n % {items}, '{site}', '{merchant}', false, 1000000, 'SAT',
         1000, '', 'paid', '', 1000000, 0, 0, 0, 0, 'gr_' || n, {begin} + {step} * n,
         {begin} + {step} * n, {now}, {now}, 1
  FROM generate_series(10, {n}, 10) n;
INSERT INTO grants (owner_id, item_id, revision, site_id, price_msat, group_id, issued_at)
  SELECT CASE WHEN n % 10 = 0 THEN 'in_' ELSE 'wa_' END || n, 'it_' || 1 + n % {items}, 1,
         '{site}', 1000000, 'gr_' || n, {begin} + {step} * n
  FROM generate_series(1, {n}) n;
INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat, group_id,
                       created_at)
  SELECT CASE WHEN n % 10 = 0 THEN 'in_' ELSE 'wa_' END || n, nextval('transfer_id_seq'), kind,
         'opening', account, amount_msat, 'gr_' || n, {begin} + {step} * n
  FROM generate_series(1, {n}) n,
       (VALUES ('sale', 'merchant:{merchant}', 990000), ('commission', 'commission', 10000))
         AS part (kind, account, amount_msat)
  ORDER BY n;
"""

PAGES = {
    "home": ".",
    "items": "./items",
    "sales": "./sales",
    "sales of a month": "./sales?period=days30&state=paid",
    "sales with a word in the title": "./sales?q=number+77",
}
LISTS = ("/v1/sales", "/v1/items", "/v1/invoices")


@dataclass
class Shop:
    """A merchant with so many sales, and somebody who looks."""

    world: World
    person: Person
    sales: int
    book_s: float
    """How long the job took to read the ledger."""
    spent_s: list[float] = field(default_factory=list)
    """How long each statement took since it was last emptied."""

    def page(self, path: str) -> tuple[float, float]:
        """Open a page; return the whole time and that of the database, in ms."""
        return self._timed(lambda: self.person.get(path).status_code)

    def listing(self, path: str) -> tuple[float, float]:
        """Ask the API for a list; return as ``page`` does."""
        headers = {"Authorization": f"Bearer {self.world.secret}"}
        return self._timed(lambda: self.world.client.get(path, headers=headers).status_code)

    def _timed(self, ask: Callable[[], int]) -> tuple[float, float]:
        self.spent_s.clear()
        with self.world.app.app_context():
            began = time.perf_counter()
            status = ask()
            whole_s = time.perf_counter() - began
            db.session.remove()
        if status != 200:
            raise RuntimeError(f"status {status}")
        return 1_000 * whole_s, 1_000 * sum(self.spent_s)


def measure(_seconds: float) -> Sequence[Row]:
    """Return a row for each page and list; the ratio is that of the whole times."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        few, many = (
            stack.enter_context(_shop(server.create_database(f"shop{sales}"), sales))
            for sales in (FEW, MANY)
        )
        rows = [_compare(f"page: {name}", few, many, path) for name, path in PAGES.items()]
        rows += [_compare(f"GET {path}", few, many, path, is_page=False) for path in LISTS]
        rate = many.sales / many.book_s
        rows.append(
            Row(
                f"sales read into the book a second, {MANY:,} of them",
                f"{rate:,.0f}",
                f"{FEW:,} of them: {few.sales / few.book_s:,.0f}",
                rate / (few.sales / few.book_s),
                "—",
            )
        )
    return rows


def _compare(what: str, few: Shop, many: Shop, path: str, *, is_page: bool = True) -> Row:
    found: dict[int, list[tuple[float, float]]] = {FEW: [], MANY: []}
    for _ in range(ROUNDS):
        for shop in (few, many):
            found[shop.sales].append(shop.page(path) if is_page else shop.listing(path))
    (few_ms, few_db_ms), (many_ms, many_db_ms) = (
        (median(whole for whole, _ in times), median(spent for _, spent in times))
        for times in (found[FEW], found[MANY])
    )
    return Row(
        f"{what}, {MANY:,} sales",
        f"{many_ms:.0f} ms, of it database {many_db_ms:.1f} ms",
        f"{FEW:,} sales: {few_ms:.0f} ms, {few_db_ms:.1f} ms",
        many_ms / few_ms,
        f"database ≤ {BUDGET_MS} ms" + ("" if many_db_ms <= BUDGET_MS else " (missed)"),
    )


@contextmanager
def _shop(url: str, sales: int) -> Iterator[Shop]:
    migrate.upgrade(url)
    with TemporaryDirectory() as folder:
        world = make_world(make_settings(Path(folder), url))
        with world.app.app_context():
            world.clock.pass_time(DAYS * 86_400)
            _fill(world, sales)
            began = time.perf_counter()
            while sales_book(world.deps, world.session):
                pass
            book_s = time.perf_counter() - began
            checkpoint_balances(world.deps, world.session)
            with db.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text("VACUUM ANALYZE"))
            shop = Shop(world, sign_in(world), sales, book_s)
            _count_database_time(shop)
            db.session.remove()
        yield shop
        with world.app.app_context():
            db.engine.dispose()


def _fill(world: World, sales: int) -> None:
    values = {
        "site": world.site_id,
        "merchant": world.merchant_id,
        "n": sales,
        "items": max(100, sales // 50),
        "days": DAYS,
        "step": DAYS * 86_400 // sales,
        "begin": world.clock() - DAYS * 86_400,
        "now": world.clock(),
    }
    with write_transaction(world.session):
        for statement in _FILL.format(**values).split(";"):
            if statement.strip():
                world.session.execute(text(statement))


def _count_database_time(shop: Shop) -> None:
    """Add up what the database takes; fetching is part of it, psycopg reads whole answers."""
    engine = db.engine
    begun: list[float] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _begin(*_: Any) -> None:
        begun.append(time.perf_counter())

    @event.listens_for(engine, "after_cursor_execute")
    def _end(*_: Any) -> None:
        shop.spent_s.append(time.perf_counter() - begun.pop())
