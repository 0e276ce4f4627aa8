"""The jobs of a rail that reports settlements: nothing missed, nobody kept waiting."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server import jobs
from bitcache_server.app import create_app
from bitcache_server.domain.errors import LightningUnauthorized, LightningUnreachable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import BatchState
from bitcache_server.extensions import db
from bitcache_server.jobs import all_jobs, run_jobs
from bitcache_server.ledger import recipes
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.operations import JobLease, StreamCursor
from bitcache_server.models.session import write_transaction
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.rails.base import PaymentRequest, Settlement, SettlementPage
from bitcache_server.rails.lightning.backend import InvoiceStatus, PayOrder, Sent, SettledPage
from bitcache_server.services.leases import take_lease
from bitcache_server.services.reconcile import Code, book_deposit, reconcile
from bitcache_server.services.watch_stream import watch_stream
from tests.support.api import at_once
from tests.support.books import open_wallet
from tests.support.lightning_payouts import AMOUNT_MSAT, BALANCE_MSAT, own_msat, withdraw_to
from tests.support.lightning_world import (
    LightningWorld,
    lightning_request,
    make_lightning_rail,
    opened_lightning_world,
)
from tests.support.payouts import batches
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, payment_count, transfers
from tests.support.workers import Server, finish, run_jobs_until_told, spawn
from tests.support.world import Purchase

AWAY = LightningUnreachable("Nothing listens.")
#: What the scripted node holds without a word of the test.
FLOAT_MSAT = 100_000_000_000


@pytest.fixture
def shop(lightning_world: LightningWorld) -> Iterator[LightningWorld]:
    """Return a world in which every test must leave the books in order."""
    yield lightning_world
    assert_nothing_lost(lightning_world)


def _hash(purchase: Purchase) -> str:
    return str(lightning_request(purchase.invoice)["payment_hash"])


def _state(shop: LightningWorld, purchase: Purchase) -> str:
    shop.session.rollback()
    return str(shop.read(purchase)["state"])


def _is_paid(shop: LightningWorld, purchase: Purchase) -> bool:
    return _state(shop, purchase) == "paid"


def _cursor(shop: LightningWorld) -> str | None:
    shop.session.rollback()
    found = shop.session.scalar(select(StreamCursor.cursor))
    shop.session.rollback()
    return found


def test_the_watch_goes_on_where_it_left_off(shop: LightningWorld) -> None:
    first, second = shop.buy(), shop.buy()
    shop.pay_lightning(first)
    at = _cursor(shop)
    # Everything that comes while nobody watches is there at the next pass.
    shop.lightning.fail_with(AWAY)
    with pytest.raises(LightningUnreachable):
        shop.settle()
    shop.lightning.pay(_hash(second))
    assert _cursor(shop) == at
    shop.lightning.fail_with(None)
    again = create_app(shop.deps)
    with again.app_context():
        assert shop.settle() == 1
    assert _state(shop, second) == "paid"
    assert _cursor(shop) != at


def test_killed_before_the_commit_it_is_booked_by_the_next_pass(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settlement and the cursor are one: neither is kept, then both."""
    bought = [shop.buy(), shop.buy()]
    before = _cursor(shop)
    for purchase in bought:
        shop.lightning.pay(_hash(purchase))
    sold = []

    def sell_once(*arguments: object, **named: object) -> str:
        sold.append(1)
        if len(sold) == 2:
            raise ZeroDivisionError("a defect")
        return str(true_sell(*arguments, **named))  # type: ignore[arg-type]  # passed on

    true_sell = recipes.sell
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "sell", sell_once)
        with pytest.raises(ZeroDivisionError):
            shop.settle()
    assert (payment_count(shop), _cursor(shop)) == (0, before)
    assert shop.settle() == 2
    assert [_state(shop, purchase) for purchase in bought] == ["paid", "paid"]


def test_a_quiet_pass_writes_nothing_but_a_new_cursor(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.settle() == 0
    rail = shop.lightning_rail
    monkeypatch.setattr(rail, "settlements", lambda *_: SettlementPage((), "moved on"))
    assert shop.settle() == 0
    assert _cursor(shop) == "moved on"


def test_what_the_stream_left_out_is_asked_about(shop: LightningWorld) -> None:
    """A node that lost its place in the stream still knows each invoice."""
    purchase = shop.buy()
    shop.lightning.pay(_hash(purchase))
    shop.session.rollback()
    with write_transaction(shop.session):
        shop.session.scalars(select(StreamCursor)).one().cursor = "1"
    assert shop.settle() == 0
    assert shop.check_requests() == 0, "it is young: the stream will bring it"
    shop.clock.pass_time(60)
    assert shop.check_requests() == 1
    assert _state(shop, purchase) == "paid"
    # Each was paid once, whoever noticed.
    shop.lightning.repeat(_hash(purchase))
    shop.settle()
    assert payment_count(shop) == 1


@pytest.mark.parametrize("foreign", ['lnbits:{"at": 5, "reported": []}', "cln:57", "57"])
def test_the_place_in_another_nodes_stream_means_nothing(
    shop: LightningWorld, foreign: str
) -> None:
    """After a change of the backend the watch goes on with what the new one reports."""
    shop.session.rollback()
    with write_transaction(shop.session):
        shop.session.scalars(select(StreamCursor)).one().cursor = foreign
    shop.settle()
    purchase = shop.buy()
    shop.pay_lightning(purchase)
    assert _state(shop, purchase) == "paid"


def test_our_own_are_asked_about_around_their_end(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    lookup = shop.lightning.lookup_invoice

    def counted(payment_hash: str) -> InvoiceStatus:
        asked.append(shop.clock() - start)
        return lookup(payment_hash)

    monkeypatch.setattr(shop.lightning, "lookup_invoice", counted)
    start = shop.clock()
    paid, late = shop.buy(), shop.buy()
    shop.pay_lightning(paid)
    for _ in range(100):
        shop.clock.pass_time(20)
        shop.check_requests()
    assert asked == [60, 900, 920, 960, 1_500]
    assert _state(shop, late) == "open", "no expiry job ran here"


def test_a_node_that_does_not_answer_is_no_reason_to_forget(shop: LightningWorld) -> None:
    purchase = shop.buy()
    shop.lightning.pay(_hash(purchase))
    shop.clock.pass_time(60)
    shop.lightning.fail_with(AWAY)
    with pytest.raises(LightningUnreachable):
        shop.check_requests()
    shop.lightning.fail_with(None)
    shop.clock.pass_time(840)
    assert shop.check_requests() == 1


def test_held_and_cancelled_money_is_not_ours(shop: LightningWorld) -> None:
    held, cancelled = shop.buy(), shop.buy()
    shop.lightning.hold(_hash(held))
    shop.lightning.cancel(_hash(cancelled))
    shop.settle()
    shop.clock.pass_time(60)
    assert shop.check_requests() == 0
    assert [_state(shop, p) for p in (held, cancelled)] == ["open", "open"]
    assert shop.lightning.lookup_invoice(_hash(cancelled)).outcome is Outcome.FAILED


def test_one_round_does_everything(shop: LightningWorld) -> None:
    purchase = shop.buy()
    shop.lightning.pay(_hash(purchase))
    assert run_jobs(shop.app, only_once=True)
    assert _state(shop, purchase) == "paid"
    names = {job.name for job in all_jobs(shop.deps)}
    kinds = ("health", "watch", "requests", "reconcile", "payouts")
    assert {f"{kind}:lightning" for kind in kinds} <= names
    leases = shop.session.scalars(select(JobLease)).all()
    assert {lease.expires_at for lease in leases} == {0}
    shop.session.rollback()


def test_what_another_process_watches_is_left_to_it(shop: LightningWorld) -> None:
    # Otherwise the comparison would find money too many, and look where it comes from.
    with write_transaction(shop.session):
        book_deposit(shop.deps, shop.session, "lightning", FLOAT_MSAT)
    purchase = shop.buy()
    shop.lightning.pay(_hash(purchase))
    assert take_lease(shop.deps, shop.session, "watch:lightning", "another", jobs.LEASE_S)
    assert run_jobs(shop.app, only_once=True), "that is no failure"
    assert _state(shop, purchase) == "open"
    shop.clock.pass_time(jobs.LEASE_S)
    assert run_jobs(shop.app, only_once=True)
    assert _state(shop, purchase) == "paid"


def _lease(shop: LightningWorld, name: str) -> JobLease:
    shop.session.rollback()
    found = shop.session.get_one(JobLease, name, populate_existing=True)
    shop.session.expunge(found)
    shop.session.rollback()
    return found


def _pass_time_in_steps(shop: LightningWorld, name: str) -> None:
    """Let more than two leases pass, each step after the job's was extended by its holder."""
    for _ in range(4):
        shop.clock.pass_time(jobs.LEASE_S - 1)
        _wait_until(lambda: _lease(shop, name).expires_at == shop.clock.now + jobs.LEASE_S)


def test_a_long_look_is_not_begun_by_another_process(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers' servers may take longer, one after the other, than a lease lasts."""
    monkeypatch.setattr(jobs, "KEEP_EVERY_S", 0.02)
    shop.buy()
    shop.clock.pass_time(60)
    name = "requests:lightning"
    asked, asking, released = [], threading.Event(), threading.Event()

    def slow(request: PaymentRequest) -> None:
        asked.append(request.target)
        asking.set()
        released.wait(30)

    monkeypatch.setattr(shop.lightning_rail, "check_request", slow)
    with _running(shop):
        try:
            assert asking.wait(30)
            holder = _lease(shop, name).holder
            _pass_time_in_steps(shop, name)
            assert run_jobs(shop.app, only_once=True), "another process, with a holder of its own"
            assert _lease(shop, name).holder == holder
            assert len(asked) == 1
        finally:
            released.set()
        # When the one process has gone, its jobs are anybody's at once.
    assert _lease(shop, name).expires_at == 0


def test_a_long_payment_is_not_begun_by_another_process(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "KEEP_EVERY_S", 0.02)
    open_wallet(shop.session, balance_msat=BALANCE_MSAT)
    withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT))
    name, pay = "payouts:lightning", shop.lightning.pay
    told, telling, released = [], threading.Event(), threading.Event()

    def slow(order: PayOrder) -> Sent:
        told.append(order.payment_hash)
        telling.set()
        released.wait(30)
        return pay(order)

    monkeypatch.setattr(shop.lightning, "pay", slow)
    with _running(shop):
        try:
            assert telling.wait(30)
            holder = _lease(shop, name).holder
            _pass_time_in_steps(shop, name)
            run_jobs(shop.app, only_once=True)
            assert _lease(shop, name).holder == holder
        finally:
            released.set()
        _wait_until(lambda: own_msat(shop) <= BALANCE_MSAT - AMOUNT_MSAT and not _open(shop))
    assert len(told) == 1


def _open(shop: LightningWorld) -> bool:
    shop.session.rollback()
    return any(batch.state != BatchState.SETTLED for batch in batches(shop))


def test_who_was_paused_and_lost_a_job_says_so_and_books_nothing_twice(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a virtual machine that stands still for a minute in the middle of a look."""
    monkeypatch.setattr(jobs, "KEEP_EVERY_S", 0.02)
    purchase, name = shop.buy(), "requests:lightning"
    shop.lightning.pay(_hash(purchase))
    shop.clock.pass_time(60)
    # The stream left it out, so that only looking finds it.
    monkeypatch.setattr(shop.lightning, "settlements", lambda *_: SettledPage((), "1"))
    asking, released = threading.Event(), threading.Event()
    check = shop.lightning_rail.check_request

    def slow(request: PaymentRequest) -> Settlement | None:
        found = check(request)
        if not asking.is_set():
            asking.set()
            released.wait(30)
        return found

    monkeypatch.setattr(shop.lightning_rail, "check_request", slow)
    with _running(shop):
        try:
            assert asking.wait(30)
            with write_transaction(shop.session):
                shop.session.get_one(JobLease, name).holder = "another"
            shop.deps.next_checks.clear()
            assert shop.check_requests() == 1
            lost = f"job={name} was taken over by another process"
            _wait_until(lambda: lost in caplog.messages)
            assert _lease(shop, name).holder == "another"
        finally:
            released.set()
    assert payment_count(shop) == 1
    assert _state(shop, purchase) == "paid"


def test_a_run_that_hangs_for_ever_gives_its_job_up(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "KEEP_EVERY_S", 0.02)
    monkeypatch.setattr(jobs, "KEEP_FOR_S", 0.0)
    purchase, released, asked = shop.buy(), threading.Event(), []
    shop.clock.pass_time(60)

    def hanging(request: PaymentRequest) -> None:
        asked.append(request.target)
        if len(asked) == 1:
            released.wait(30)

    monkeypatch.setattr(shop.lightning_rail, "check_request", hanging)
    with _running(shop):
        try:
            _wait_until(lambda: len(asked) == 1)
            shop.clock.pass_time(jobs.LEASE_S)
            shop.deps.next_checks.clear()
            run_jobs(shop.app, only_once=True)
            assert asked == [_hash(purchase)] * 2
        finally:
            released.set()


def test_processes_that_watch_at_once_book_each_payment_once(shop: LightningWorld) -> None:
    """Without any lease: each booking looks for itself what is already there."""
    purchases = [shop.buy() for _ in range(8)]
    for purchase in purchases:
        shop.lightning.pay(_hash(purchase))
    together = threading.Barrier(4, timeout=30)

    def watch(_: int) -> int:
        with shop.app.app_context():
            together.wait()
            return watch_stream(shop.deps, db.session(), shop.lightning_rail, 0)

    assert at_once(4, watch) == [8] * 4
    shop.session.rollback()
    assert payment_count(shop) == 8
    assert len(transfers(shop, Kind.RECEIPT)) == 8
    assert {_state(shop, purchase) for purchase in purchases} == {"paid"}


def test_a_signal_ends_all_lanes(shop: LightningWorld) -> None:
    """A process of its own, as systemd stops it: it ends at once and leaves no lease behind."""
    settings = shop.deps.settings
    named = {"rails": ["fake", "lightning"], "lightning_backend": "scripted"}
    server = Server(settings.database_url, settings.data_dir, None, shop.clock.now, named)
    process = spawn(run_jobs_until_told, server)

    def held() -> set[str]:
        shop.session.rollback()
        query = select(JobLease.name).where(JobLease.expires_at > shop.clock.now)
        return set(shop.session.scalars(query))

    lanes = {f"{kind}:lightning" for kind in ("watch", "requests", "payouts")}
    _wait_until(lambda: lanes <= held())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == 0
    assert held() == set()


@contextmanager
def _running(shop: LightningWorld) -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=run_jobs, args=(shop.app,), kwargs={"stop": stop})
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def _wait_until(true: Callable[[], bool], patience_s: float = 30) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_each_settlement_is_booked_while_the_jobs_run(shop: LightningWorld) -> None:
    purchases = [shop.buy() for _ in range(3)]
    with _running(shop):
        for purchase in purchases:
            shop.lightning.pay(_hash(purchase))
            _wait_until(partial(_is_paid, shop, purchase))


def test_a_node_that_hangs_stops_nobody_else(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch and the payouts of one node hang; the chain and the expiry go on."""
    released = threading.Event()

    def hanging(*_: object) -> SettledPage:
        released.wait(30)
        return SettledPage((), "0")

    monkeypatch.setattr(shop.lightning, "settlements", hanging)
    monkeypatch.setattr(shop.lightning, "funds", hanging)
    on_chain, forgotten = shop.buy(rail="fake"), shop.buy(rail=None)
    try:
        with _running(shop):
            shop.rail.pay(shop.target_of(on_chain), PRICE_MSAT)
            _wait_until(lambda: _state(shop, on_chain) == "paid")
            shop.clock.pass_time(901)
            _wait_until(lambda: _state(shop, forgotten) == "expired")
            released.set()
    finally:
        released.set()


def test_lanes_log_once_and_go_on(
    shop: LightningWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(jobs, "LONGEST_PAUSE_S", 0.1)
    purchase = shop.buy()
    tries = []
    settlements = shop.lightning.settlements

    def counted(cursor: str | None, wait_s: float) -> SettledPage:
        tries.append(1)
        return settlements(cursor, wait_s)

    monkeypatch.setattr(shop.lightning, "settlements", counted)
    shop.lightning.fail_with(LightningUnauthorized("The macaroon is not accepted."))
    with _running(shop):
        _wait_until(lambda: len(tries) >= 4)
        shop.lightning.fail_with(None)
        shop.lightning.pay(_hash(purchase))
        _wait_until(lambda: _state(shop, purchase) == "paid")
        _wait_until(lambda: "job=watch:lightning works again" in caplog.messages)
    found = [message for message in caplog.messages if "watch:lightning" in message]
    assert found == [
        "job=watch:lightning failed: The macaroon is not accepted.",
        "job=watch:lightning works again",
    ]


def test_the_end_does_not_wait_for_a_long_poll(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that answers nothing keeps no process alive."""
    monkeypatch.setattr(jobs, "END_S", 0.1)
    asked, released = threading.Event(), threading.Event()

    def hanging(*_: object) -> SettledPage:
        # Who looks for differences asks for settlements, too, and may ask first.
        if threading.current_thread().name == "watch:lightning":
            asked.set()
        released.wait(30)
        return SettledPage((), "0")

    monkeypatch.setattr(shop.lightning, "settlements", hanging)
    try:
        with _running(shop) as thread:
            assert asked.wait(30)
        assert not thread.is_alive()
        assert not released.is_set()
        assert "lane=watch:lightning waits for its node and is left behind" in caplog.messages
    finally:
        released.set()
    _wait_until(lambda: not any(":lightning" in t.name for t in threading.enumerate()))


def _compare(shop: LightningWorld) -> tuple[Code, int, int]:
    shop.session.rollback()
    found = reconcile(shop.deps, shop.session, shop.lightning_rail)
    shop.session.rollback()
    return found.code, found.booked_msat, found.held_msat


def test_the_books_are_compared_with_what_the_node_holds(shop: LightningWorld) -> None:
    assert _compare(shop) == (Code.SURPLUS, 0, FLOAT_MSAT)
    with write_transaction(shop.session):
        book_deposit(shop.deps, shop.session, "lightning", FLOAT_MSAT)
    assert _compare(shop) == (Code.OK, FLOAT_MSAT, FLOAT_MSAT)
    purchase = shop.buy()
    shop.lightning.pay(_hash(purchase))
    shop.lightning.set_funds(FLOAT_MSAT + PRICE_MSAT, None)
    # Perhaps the node only knows more than was booked: the comparison catches up first.
    assert _compare(shop)[0] is Code.OK
    assert _state(shop, purchase) == "paid"
    # What a channel keeps back, or holds while its peer is away, is not missing.
    shop.lightning.set_funds(0, None, FLOAT_MSAT + PRICE_MSAT)
    assert _compare(shop)[0] is Code.OK
    shop.lightning.set_funds(FLOAT_MSAT, None)
    assert _compare(shop) == (Code.SHORT, FLOAT_MSAT + PRICE_MSAT, FLOAT_MSAT)
    shop.lightning.fail_with(AWAY)
    assert _compare(shop)[0] is Code.UNKNOWN
    assert shop.session.get_one(Reconciliation, "lightning").code == "unknown"
    shop.session.rollback()


@pytest.mark.parametrize("off_msat", [-999, 999])
def test_a_node_that_counts_whole_sats_lacks_nothing(shop: LightningWorld, off_msat: int) -> None:
    with write_transaction(shop.session):
        book_deposit(shop.deps, shop.session, "lightning", FLOAT_MSAT)
    shop.lightning.set_funds(FLOAT_MSAT + off_msat, None)
    assert _compare(shop)[0] is Code.OK


def test_a_server_without_a_node_holds_nothing(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(tmp_path, database_url, with_node=False) as shop:
        assert _compare(shop) == (Code.OK, 0, 0)
        rail = make_lightning_rail(None, shop.deps.settings, shop.clock)
        health = rail.health()
        assert (health.ok, health.code, health.receivable_msat) == (True, "ok", None)
