"""The jobs process: each job leased, none in the way of another, a clean end."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.domain.errors import NodeUnreachable
from bitcache_server.jobs import all_jobs, run_jobs
from bitcache_server.ledger import recipes
from bitcache_server.models.ledger import BalanceCheckpoint
from bitcache_server.models.operations import JobLease, StoredRate
from bitcache_server.rails.base import Cursor, Matcher, Step
from bitcache_server.services.leases import give_back, take_lease
from tests.support.shops import assert_nothing_lost, opened_world, read_anew
from tests.support.world import World

LEASE_S = 15


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    yield world
    assert_nothing_lost(world)


def _take(shop: World, holder: str) -> bool:
    return take_lease(shop.deps, shop.session, "watch:fake", holder, LEASE_S)


def test_one_holder_at_a_time(shop: World) -> None:
    assert _take(shop, "one")
    assert not _take(shop, "two")
    assert _take(shop, "one")
    shop.clock.pass_time(LEASE_S - 1)
    assert not _take(shop, "two")


def test_a_dead_holders_lease_ends_by_itself(shop: World) -> None:
    assert _take(shop, "dead")
    shop.clock.pass_time(LEASE_S)
    assert _take(shop, "alive")
    assert not _take(shop, "dead")


def test_a_holder_that_stops_gives_its_leases_back(shop: World) -> None:
    assert _take(shop, "one")
    give_back(shop.session, "another")
    assert not _take(shop, "two")
    give_back(shop.session, "one")
    assert _take(shop, "two")


def test_each_job_has_its_own_lease(shop: World) -> None:
    assert _take(shop, "one")
    assert take_lease(shop.deps, shop.session, "expire", "two", LEASE_S)


def test_one_round_does_everything(shop: World) -> None:
    purchase, forgotten = shop.buy(), shop.buy()
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    shop.rail.confirm()
    shop.clock.pass_time(901)
    assert run_jobs(shop.app, only_once=True)
    assert read_anew(shop, purchase)["state"] == "paid"
    assert read_anew(shop, forgotten)["state"] == "expired"
    health = shop.get("/health").get_json()
    assert {part["name"]: part["code"] for part in health["parts"]} == {
        "database": "ok",
        "fake": "ok",
        "rates": "ok",
        "payouts": "ok",
        "reconciliation": "ok",
        "jobs": "ok",
        "webhooks": "ok",
        "mails": "ok",
        "sales_book": "ok",
    }
    assert shop.session.scalars(select(BalanceCheckpoint)).first() is not None
    leases = shop.session.scalars(select(JobLease)).all()
    # The last one is what the watch locks, whoever runs it.
    expected = {job.name for job in all_jobs(shop.deps) if not job.shared} | {"walk:fake"}
    assert {lease.name for lease in leases} == expected
    assert {lease.expires_at for lease in leases} == {0}
    shop.session.rollback()


def test_what_another_process_does_is_left_to_it(shop: World) -> None:
    purchase = shop.buy()
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    assert _take(shop, "another process")
    assert run_jobs(shop.app, only_once=True), "that is no failure"
    assert read_anew(shop, purchase)["state"] == "open"
    shop.clock.pass_time(LEASE_S)
    assert run_jobs(shop.app, only_once=True)
    assert read_anew(shop, purchase)["state"] == "paid"


def test_a_rail_that_fails_does_not_stop_the_others(
    shop: World, caplog: pytest.LogCaptureFixture
) -> None:
    purchase, forgotten = shop.buy(), shop.buy()
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    shop.rail.break_with(NodeUnreachable("Nothing listens."))
    shop.clock.pass_time(901)
    assert not run_jobs(shop.app, only_once=True)
    assert read_anew(shop, forgotten)["state"] == "expired"
    assert shop.session.scalars(select(StoredRate.as_of)).one() == shop.clock.now
    shop.session.rollback()
    parts = shop.get("/health").get_json()["parts"]
    assert {part["name"]: part["code"] for part in parts}["fake"] == "node_unreachable"
    assert "job=watch:fake failed: Nothing listens." in caplog.messages
    shop.rail.break_with(None)
    assert run_jobs(shop.app, only_once=True)
    # The money was seen by nobody before the time was over: it is late, and kept.
    assert read_anew(shop, purchase)["marks"] == ["late"]
    assert read_anew(shop, purchase)["credit_msat"] == 5_000_000


def test_even_a_fault_of_ours_stops_nothing(
    shop: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(cursor: Cursor | None, match: Matcher, with_mempool: bool = True) -> Iterator[Step]:
        raise ZeroDivisionError("a defect")

    forgotten = shop.buy()
    with monkeypatch.context() as patch:
        patch.setattr(shop.rail, "watch", broken)
        shop.clock.pass_time(901)
        assert not run_jobs(shop.app, only_once=True)
    assert read_anew(shop, forgotten)["state"] == "expired"
    records = [record for record in caplog.records if "unexpectedly" in record.message]
    # A rail that cannot be watched is not well either.
    names = [record.message.split()[0] for record in records]
    assert names == ["job=health:fake", "job=watch:fake"]
    assert all(record.exc_info for record in records)


def test_a_half_booked_step_is_forgotten_and_done_again(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two payments in one step fails: neither is booked, then both are."""
    bought = [shop.buy(), shop.buy()]
    for purchase in bought:
        shop.rail.pay(shop.target_of(purchase), 5_000_000)
    calls = []

    def sell_once(*_arguments: object, **_named: object) -> str:
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("a defect")
        return str(true_sell(*_arguments, **_named))  # type: ignore[arg-type]  # passed on

    true_sell = recipes.sell
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "sell", sell_once)
        assert not run_jobs(shop.app, only_once=True)
    assert len(calls) == 2
    assert [read_anew(shop, purchase)["state"] for purchase in bought] == ["open", "open"]
    assert run_jobs(shop.app, only_once=True)
    assert [read_anew(shop, purchase)["state"] for purchase in bought] == ["paid", "paid"]


def test_failures_are_logged_when_they_begin_and_end(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with opened_world(tmp_path, database_url) as shop:
        purchase = shop.buy()
        shop.rail.break_with(NodeUnreachable("Nothing listens."))
        stop = threading.Event()
        running = threading.Thread(target=run_jobs, args=(shop.app,), kwargs={"stop": stop})
        running.start()
        try:
            _wait_until(lambda: any("watch:fake failed" in m for m in caplog.messages))
            time.sleep(1.2)  # two more rounds of the watch
            shop.rail.pay(shop.target_of(purchase), 5_000_000)
            shop.rail.break_with(None)
            _wait_until(lambda: read_anew(shop, purchase)["state"] == "paid")
            _wait_until(lambda: "job=watch:fake works again" in caplog.messages)
        finally:
            stop.set()
            running.join(120)
        assert not running.is_alive()
        watch = [message for message in caplog.messages if "watch:fake" in message]
        assert watch == ["job=watch:fake failed: Nothing listens.", "job=watch:fake works again"]
        assert_nothing_lost(shop)


def _wait_until(true: Callable[[], bool], patience_s: float = 120) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
