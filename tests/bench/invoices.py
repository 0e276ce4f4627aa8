"""Invoices created a second through HTTP, against one durable row by pgbench."""

import json
from collections.abc import Sequence

from sqlalchemy import create_engine, text

from bitcache_server.models.session import normalise_url
from tests.bench.pgbench import transactions_per_second
from tests.bench.server import CONNECTIONS, requests_per_second, served
from tests.bench.stock import Stock, stocked
from tests.bench.table import Row, in_turns
from tests.support.postgres import PostgresServer

ONE_ROW = "INSERT INTO yardstick (body) VALUES (repeat('x', 500));"


def measure(seconds: float) -> Sequence[Row]:
    """Return the rows of an invoice alone and of one with an address."""
    with PostgresServer(durable=True) as server:
        url = server.create_database("bench")
        engine = create_engine(normalise_url(url))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE yardstick (id bigserial PRIMARY KEY, body text)"))
        engine.dispose()
        with (
            stocked(url) as stock,
            served("bitcache_server.app:create_app", stock.environment) as ours,
        ):
            rows, alone, with_address = in_turns(
                lambda: transactions_per_second(url, ONE_ROW, CONNECTIONS, seconds),
                lambda: requests_per_second(f"{ours}/v1/invoices", seconds, _post(stock, None)),
                lambda: requests_per_second(f"{ours}/v1/invoices", seconds, _post(stock, "fake")),
            )
    yardstick = f"pgbench, one row each: {rows:,.0f}"
    return [
        Row(
            "invoices created a second, one worker, durable",
            f"{alone:,.0f}",
            yardstick,
            alone / rows,
            "—",
        ),
        Row(
            "the same, with an address each",
            f"{with_address:,.0f}",
            yardstick,
            with_address / rows,
            "—",
        ),
    ]


def _post(stock: Stock, rail: str | None) -> str:
    body: dict[str, str] = {"item": stock.article_id, "challenge": stock.challenge}
    if rail is not None:
        body["rail"] = rail
    return (
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [[{json.dumps(body)}]]"
    )
