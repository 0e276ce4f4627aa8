"""Unlocks a second through HTTP on PostgreSQL, and how long one takes at half of that rate."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

from tests.bench.pgbench import transactions_per_second
from tests.bench.readers import SERVER_OPTIONS, Readers, pgbench_script, readers
from tests.bench.server import CONNECTIONS, served
from tests.bench.steady import latencies_ms, percentile
from tests.bench.table import Row, in_turns
from tests.support.postgres import PostgresServer

WORKERS = 2
EMPTY = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FEW, MANY = 10_000, 10_000_000


def configuration() -> str:
    """Return what was measured, in words."""
    options = ", ".join(f"{name}={value}" for name, value in SERVER_OPTIONS.items())
    return f"{WORKERS} workers, {CONNECTIONS} connections, durable commits, {options}"


def measure(seconds: float) -> Sequence[Row]:
    """Return the rows of the rate and of the latency."""
    print(f"  unlocks: {configuration()}")
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True, options=SERVER_OPTIONS))
        crowd = stack.enter_context(readers(server.create_database("crowd")))
        ours = stack.enter_context(_serve(crowd))
        empty = stack.enter_context(served("tests.bench.empty:create_app", {}, WORKERS))
        pgbench, unlocks = in_turns(
            lambda: transactions_per_second(crowd.url, pgbench_script(), CONNECTIONS, seconds),
            lambda: crowd.unlocks_per_second(ours, seconds),
        )
        nothing_ms, unlock_ms = in_turns(
            lambda: percentile(latencies_ms(empty, unlocks / 2, seconds, lambda _: EMPTY), 99),
            lambda: _p99_ms(crowd, ours, unlocks / 2, seconds),
        )
        crowd.require_clean_books()
    return [
        Row(
            f"unlocks a second through HTTP, {CONNECTIONS} connections, 100,000 wallets, durable",
            f"{unlocks:,.0f}",
            f"pgbench, same function, {CONNECTIONS} clients: {pgbench:,.0f}",
            unlocks / pgbench,
            "≥ 0.3, aim 0.5",
        ),
        Row(
            f"p99 latency of an unlock at half of that rate ({unlocks / 2:,.0f} a second)",
            f"{unlock_ms:.1f} ms",
            f"empty Flask route at the same rate: {nothing_ms:.1f} ms",
            unlock_ms / nothing_ms,
            "—",
        ),
    ]


def measure_one_merchant(seconds: float) -> Sequence[Row]:
    """Return the row of one merchant who sells everything."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True, options=SERVER_OPTIONS))
        many = stack.enter_context(readers(server.create_database("many")))
        one = stack.enter_context(readers(server.create_database("one"), one_merchant=True))
        servers = [stack.enter_context(_serve(crowd)) for crowd in (many, one)]
        spread, single = in_turns(
            lambda: many.unlocks_per_second(servers[0], seconds),
            lambda: one.unlocks_per_second(servers[1], seconds),
        )
        many.require_clean_books()
        one.require_clean_books()
    return [
        Row(
            "unlocks a second, one merchant takes all sales",
            f"{single:,.0f}",
            f"a hundred merchants: {spread:,.0f}",
            single / spread,
            "≥ 0.9",
        )
    ]


def measure_history(seconds: float) -> Sequence[Row]:
    """Return the row of a ledger that is long."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True, options=SERVER_OPTIONS))
        crowds = [
            stack.enter_context(
                readers(server.create_database(name), wallets=FEW, transfers=transfers)
            )
            for name, transfers in (("short", FEW), ("long", MANY))
        ]
        servers = [stack.enter_context(_serve(crowd)) for crowd in crowds]
        counts = [crowd.transfers() for crowd in crowds]
        short, long = in_turns(
            lambda: crowds[0].unlocks_per_second(servers[0], seconds),
            lambda: crowds[1].unlocks_per_second(servers[1], seconds),
        )
        for crowd in crowds:
            crowd.require_clean_books()
    return [
        Row(
            f"unlocks a second with {counts[1]:,} transfers in the ledger",
            f"{long:,.0f}",
            f"with {counts[0]:,}: {short:,.0f}",
            long / short,
            "≥ 0.85",
        )
    ]


def _p99_ms(crowd: Readers, base_url: str, per_second: float, seconds: float) -> float:
    first = crowd.take(int(per_second * seconds))
    found = latencies_ms(
        base_url, per_second, seconds, lambda number: crowd.request(first + number)
    )
    return percentile(found, 99)


def _serve(crowd: Readers) -> AbstractContextManager[str]:
    return served("bitcache_server.app:create_app", crowd.environment, WORKERS)
