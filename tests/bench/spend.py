"""The spend through our ledger code, against pgbench with the same statement."""

import multiprocessing
import secrets
import time
from collections.abc import Sequence

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from bitcache_server.ledger.spend import Spend, spend
from bitcache_server.models import migrate
from bitcache_server.models.session import configure_engine, normalise_url
from tests.bench.pgbench import transactions_per_second
from tests.bench.table import Row, in_turns
from tests.support.postgres import PostgresServer

WALLETS = 100_000
CLIENTS = 8
NOW = 1_800_000_000

SCRIPT = rf"""
\set w random(1, {WALLETS})
\set k1 random(1, 9000000000000000000)
\set k2 random(1, 9000000000000000000)
SELECT outcome, result FROM bitcache_spend(
  'wa_' || :w, :k1 || '-' || :k2, repeat('0', 64), 'gr_' || :k1, 'me_1', 'st_1',
  'it_' || :k2, 1000, 10, NULL, {NOW});
"""


def measure(seconds: float) -> Sequence[Row]:
    """Return the row of the spend."""
    with PostgresServer(durable=True) as server:
        url = server.create_database("bench")
        migrate.upgrade(url)
        _add_wallets(url)
        yardstick, ours = in_turns(
            lambda: transactions_per_second(url, SCRIPT, CLIENTS, seconds),
            lambda: spends_per_second(url, CLIENTS, seconds),
        )
    return [
        Row(
            f"spends a second through our ledger, {CLIENTS} clients, durable",
            f"{ours:,.0f}",
            f"pgbench, same function: {yardstick:,.0f}",
            ours / yardstick,
            "≥ 0.3, aim 0.5",
        )
    ]


def _add_wallets(url: str) -> None:
    engine = create_engine(normalise_url(url))
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO wallets (id, balance_msat, created_at)"
                " SELECT 'wa_' || n, 1000000000000, :now FROM generate_series(1, :wallets) n"
            ),
            {"now": NOW, "wallets": WALLETS},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE wallets"))
    engine.dispose()


def spends_per_second(url: str, clients: int, seconds: float) -> float:
    """Return what that many processes, each with one connection, book a second."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Barrier(clients + 1), context.Event()
    counts = context.Queue()
    workers = [
        context.Process(target=_spend_for, args=(url, seconds, ready, go, counts))
        for _ in range(clients)
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    go.set()
    total: int = sum(counts.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / seconds


def _spend_for(url: str, seconds: float, ready, go, counts) -> None:  # type: ignore[no-untyped-def]  # multiprocessing's own objects
    engine = configure_engine(create_engine(normalise_url(url)))
    with Session(engine) as session:
        session.connection()
        session.rollback()
        ready.wait()
        go.wait()
        ends_at = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < ends_at:
            spend(session, _order())
            count += 1
    counts.put(count)


def _order() -> Spend:
    return Spend(
        wallet_id=f"wa_{1 + secrets.randbelow(WALLETS)}",
        idempotency_key=secrets.token_hex(16),
        merchant_id="me_1",
        site_id="st_1",
        item_id=f"it_{secrets.token_hex(8)}",
        amount_msat=1000,
        commission_msat=10,
        expires_at=None,
        now=NOW,
    )
