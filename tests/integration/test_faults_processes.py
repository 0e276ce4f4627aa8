"""Several processes of one shop at the same time, and how they end."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.operations import JobLease
from tests.support.shops import (
    assert_nothing_lost,
    held,
    opened_world,
    payment_count,
    read_anew,
    sell_at,
    transfers,
)
from tests.support.workers import (
    CONTEXT,
    PATIENCE_S,
    finish,
    run_jobs_until_told,
    server_of,
    spawn,
    watch_at_once,
)
from tests.support.world import Purchase, World

PROCESSES = 2
BLOCKS = 6


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with opened_world(tmp_path, database_url) as world:
        yield world
        assert_nothing_lost(world)


def _busy_rail(shop: World) -> list[Purchase]:
    """Pay something in every block and leave something in the mempool."""
    item_id = sell_at(shop, 20_000)
    bought = [shop.buy(item_id) for _ in range(BLOCKS)]
    for purchase in bought:
        shop.rail.pay(shop.target_of(purchase), 20_000_000)
        shop.rail.confirm()
    waiting = [shop.buy() for _ in range(4)]
    for purchase in waiting:
        shop.rail.pay(shop.target_of(purchase), 5_000_000)
    return bought + waiting


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "without leases"])
def test_two_processes_book_once(shop: World, leased: bool) -> None:
    """The lease saves work; even without it every booking checks for itself."""
    bought = _busy_rail(shop)
    barrier = CONTEXT.Barrier(PROCESSES)
    running = [spawn(watch_at_once, server_of(shop), barrier, leased) for _ in range(PROCESSES)]
    assert [finish(process) for process in running] == [0] * PROCESSES
    shop.watch()
    assert {read_anew(shop, purchase)["state"] for purchase in bought} == {"paid"}
    assert payment_count(shop) == len(bought)
    assert len(transfers(shop, Kind.RECEIPT)) == len(transfers(shop, Kind.SALE)) == len(bought)
    assert held(shop, chart.clearing("fake")) == -BLOCKS * 20_000_000
    assert held(shop, chart.unconfirmed("fake")) == -4 * 5_000_000


def test_two_processes_follow_one_reorganisation(shop: World) -> None:
    bought = _busy_rail(shop)
    shop.watch()
    shop.rail.reorg(3)
    barrier = CONTEXT.Barrier(PROCESSES)
    running = [spawn(watch_at_once, server_of(shop), barrier, False) for _ in range(PROCESSES)]
    assert [finish(process) for process in running] == [0] * PROCESSES
    shop.watch()
    states = [read_anew(shop, purchase)["state"] for purchase in bought]
    assert states == ["paid"] * 3 + ["seen"] * 3 + ["paid"] * 4
    shop.mine()
    assert {read_anew(shop, purchase)["state"] for purchase in bought} == {"paid"}


def test_a_signal_ends_the_jobs_in_good_order(shop: World) -> None:
    purchase = shop.buy()
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    running = spawn(run_jobs_until_told, server_of(shop))
    _wait_for_state(shop, purchase, "paid")
    assert running.pid is not None
    running.terminate()
    assert finish(running) == 0
    shop.session.rollback()
    leases = shop.session.scalars(select(JobLease)).all()
    assert {lease.expires_at for lease in leases} == {0}
    shop.session.rollback()
    shop.mine()
    assert read_anew(shop, purchase)["payments"][0]["confirmations"] == 1


def test_killed_jobs_are_taken_over(shop: World) -> None:
    running = spawn(run_jobs_until_told, server_of(shop))
    purchase = shop.buy()
    _wait_for_lease(shop)
    running.kill()
    assert finish(running) == -signal.SIGKILL
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    shop.clock.pass_time(15)
    next_one = spawn(run_jobs_until_told, server_of(shop))
    _wait_for_state(shop, purchase, "paid")
    next_one.terminate()
    assert finish(next_one) == 0
    assert len(transfers(shop, Kind.RECEIPT)) == 1


def _wait_for_state(shop: World, purchase: Purchase, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while read_anew(shop, purchase)["state"] != state:
        assert time.monotonic() < deadline, f"not {state} in time"
        time.sleep(0.05)


def _wait_for_lease(shop: World) -> None:
    deadline = time.monotonic() + PATIENCE_S
    query = select(JobLease).where(JobLease.name == "watch:fake", JobLease.expires_at > 0)
    while shop.session.scalar(query) is None:
        shop.session.rollback()
        assert time.monotonic() < deadline, "no lease in time"
        time.sleep(0.05)
    shop.session.rollback()
