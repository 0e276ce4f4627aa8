"""GET /metrics: who may ask, and what is counted, in one process and in several."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from bitcache_server.services.backup import take_backup
from bitcache_server.services.figures import KEEP_S
from tests.support.api import assert_problem, call
from tests.support.clicks import open_clicker
from tests.support.databases import Databases
from tests.support.processes import programs, until
from tests.support.world import World

LOCAL = {"Host": "127.0.0.1:8402"}
TOKEN = "a-token-of-some-length"


def ask(world: World, address: str = "127.0.0.1", **headers: str) -> TestResponse:
    named = {**LOCAL, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return call(world, "GET", "/metrics", headers=named, environ_overrides={"REMOTE_ADDR": address})


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return each number by its name and the values of its labels, in the order of their names."""
    return {
        (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def read(world: World) -> dict[tuple[str, ...], float]:
    answer = ask(world)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return samples(answer.text)


def test_without_a_token_this_machine_alone_may_ask(sqlite_world: World) -> None:
    assert ask(sqlite_world, "127.0.0.1").status_code == 200
    assert ask(sqlite_world, "::1", Host="[::1]:8402").status_code == 200
    assert_problem(ask(sqlite_world, "10.0.0.9"), 404, "not_found")
    for headers in (
        {"X_Forwarded_For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X_Real_IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "pay.example"},
        {"Host": "127.0.0.1.evil.example"},
    ):
        assert ask(sqlite_world, **headers).status_code == 404, headers


def test_what_came_through_a_proxy_is_not_this_machine(start_world: Callable[..., World]) -> None:
    world = start_world(trusted_proxies=1)
    assert ask(world).status_code == 200
    assert ask(world, X_Forwarded_For="127.0.0.1").status_code == 404
    assert ask(world, X_Forwarded_For="203.0.113.9").status_code == 404


def test_with_a_token_it_is_wanted_from_everybody(start_world: Callable[..., World]) -> None:
    world = start_world(metrics_token=TOKEN)
    assert ask(world).status_code == 404
    for wrong in ("Bearer wrong", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer \u00fc"):
        assert ask(world, Authorization=wrong).status_code == 404
    far = ask(world, "203.0.113.9", Host="pay.example", Authorization=f"Bearer {TOKEN}")
    assert far.status_code == 200


def test_requests_are_counted_by_route_also_in_front_of_flask(world: World) -> None:
    before = read(world)
    open_clicker(world).unlock()
    world.buy()
    world.get("/v1/items/it_unknown")
    world.get("/never/heard/of/it")
    world.client.open("/v1/items", method="BREW")
    after = read(world)

    def more(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert more("bitcache_http_requests_total", "/v1/unlocks", "2xx") == 1
    assert more("bitcache_http_requests_total", "/v1/invoices", "2xx") == 1
    assert more("bitcache_http_requests_total", "/v1/items/<item_id>", "4xx") == 1
    assert more("bitcache_http_requests_total", "unknown", "4xx") == 2
    assert more("bitcache_http_within_seconds_total", "+Inf", "/v1/unlocks") == 1
    assert more("bitcache_errors_total", "unknown_item") == 1
    assert "it_unknown" not in ask(world).text, "a label is a route, never a path"


def test_figures_of_the_database(world: World, tmp_path: Path) -> None:
    purchase = world.buy()
    world.buy()
    world.pay(purchase)
    world.mine()
    take_backup(world.deps, str(tmp_path / "shop.tar"), with_files=False)
    world.clock.pass_time(20)
    found = read(world)
    assert found["bitcache_database_up",] == 1
    assert found["bitcache_invoices", "paid"] == found["bitcache_invoices", "open"] == 1
    assert found["bitcache_queue", "invoices"] == 1
    assert found["bitcache_queue", "sales_book"] > 0
    assert found["bitcache_rail_ok", "fake"] == 1
    assert found["bitcache_rate_age_seconds", "USD"] == 20
    assert found["bitcache_backup_age_seconds",] == 20
    assert found["bitcache_part_ok", "database"] == 1
    assert found["bitcache_part_ok", "jobs"] == 0
    ledger = {key[1]: msat for key, msat in found.items() if key[0] == "bitcache_ledger_msat"}
    assert sum(ledger.values()) == 0
    assert ledger["merchant"] > 0
    world.session.rollback()


def test_figures_are_read_once_in_a_while(sqlite_world: World) -> None:
    world = sqlite_world
    assert read(world)["bitcache_invoices", "open"] == 0
    world.buy()
    world.clock.pass_time(KEEP_S - 1)
    assert read(world)["bitcache_invoices", "open"] == 0
    world.clock.pass_time(1)
    assert read(world)["bitcache_invoices", "open"] == 1


def test_a_database_that_is_away_is_a_figure(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("away"))

    monkeypatch.setattr("bitcache_server.services.figures._figures", away)
    found = read(sqlite_world)
    assert found["bitcache_database_up",] == 0
    assert any(key[0] == "bitcache_http_requests_total" for key in found)


def test_request_ids(sqlite_world: World, start_world: Callable[..., World]) -> None:
    given = {"X-Request-Id": "of-the-proxy-1"}
    ids = {call(sqlite_world, "GET", "/health").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch("[0-9a-f]{13,}", one) for one in ids)
    answer = call(sqlite_world, "GET", "/health", headers=given)
    assert answer.headers["X-Request-Id"] != "of-the-proxy-1", "a stranger's id means nothing"
    behind = start_world(trusted_proxies=1)
    assert call(behind, "GET", "/health", headers=given).headers["X-Request-Id"] == "of-the-proxy-1"
    for wrong in ("x" * 65, "a b", "ümlaut", ""):
        answer = call(behind, "GET", "/health", headers={"X-Request-Id": wrong})
        assert answer.headers["X-Request-Id"] != wrong


def test_several_processes_count_together(databases: Databases, tmp_path: Path) -> None:
    """Whichever of the workers is asked tells what all of them answered."""
    with (
        databases.fresh("postgresql") as url,
        programs(tmp_path, url, rails=["fake"], workers=2) as shop,
    ):
        shop.serve()
        shop.wait_until_serving()
        for _ in range(40):
            shop.ask("GET", "/v1/items/it_unknown")
        key = ("bitcache_http_requests_total", "/v1/items/<item_id>", "4xx")

        def counted() -> set[float]:
            return {samples(shop.ask("GET", "/metrics").text).get(key, 0) for _ in range(10)}

        # Each worker puts down what it counted once a second.
        until(lambda: counted() == {40}, "not all of them are counted")
