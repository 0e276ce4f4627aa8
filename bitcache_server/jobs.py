"""The jobs process: watch the rails, expire, refresh, tidy up.

Any number of these processes may run: each job is leased, and every booking checks
for itself what is already there. A job that fails is logged and tried again; it
never stops the others.
"""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.extensions import db
from bitcache_server.models.session import storage_errors
from bitcache_server.rails.base import ChainRail, StreamRail
from bitcache_server.services.deliver_webhooks import WebhookCrew
from bitcache_server.services.deps import Deps, deps_of
from bitcache_server.services.gifts import forget_gift_addresses
from bitcache_server.services.housekeeping import (
    checkpoint_balances,
    expire_invoices,
    forget_idempotency_keys,
)
from bitcache_server.services.l402 import forget_l402_bills
from bitcache_server.services.leases import give_back, keep_lease, note_outcome, take_lease
from bitcache_server.services.mail_outbox import send_mails
from bitcache_server.services.merchant_payouts import schedule_payouts
from bitcache_server.services.one_time_codes import forget_one_time_codes
from bitcache_server.services.orders import expire_orders
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.reconcile import reconcile_due
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.sales_book import sales_book
from bitcache_server.services.solvency import publish_due
from bitcache_server.services.wallet_keys import forget_challenges
from bitcache_server.services.wallets import forget_signed_out_sessions
from bitcache_server.services.watch_rail import check_unconfirmed, watch_rail
from bitcache_server.services.watch_stream import check_requests, watch_stream
from bitcache_server.services.webhook_replays import forget_webhooks
from bitcache_server.services.withdraw_links import expire_links

log = logging.getLogger(__name__)

#: A dead process's jobs are taken over after this time.
LEASE_S = 15
#: How often the lease of a run that goes on is extended.
KEEP_EVERY_S = 5.0
#: So long at most: a thread that hangs for ever must not keep a job from everybody.
KEEP_FOR_S = 900.0
TICK_S = 0.25
#: How long a watch waits for a settlement before it renews its lease and asks again.
WAIT_S = 2.0
LONGEST_PAUSE_S = 10.0
#: What is under way may take so long after the end was asked for; it is safe to cut it off.
END_S = 5.0


@dataclass
class Job:
    """Something to do again and again."""

    name: str
    every_s: float
    run: Callable[[Deps, Session], object]
    lane: str = ""
    """Jobs of one lane run one after the other in a thread of their own; the others in the
    main one. So who waits for a node keeps nobody else waiting."""
    shared: bool = False
    """Runs in all processes at once, without a lease: it leases what it works on itself."""
    due_at: float = 0.0
    failures: int = field(default=0)
    """How many runs in a row failed; logged once when that begins and once when it ends."""
    noted: bool | None = None
    """Whether it fails, as this process wrote it down last."""

    @property
    def failing(self) -> bool:
        """Return whether the last run failed."""
        return self.failures > 0

    def pause_s(self) -> float:
        """Return the time until the next run: in a lane, longer with each failure."""
        if not self.lane or not self.failures:
            return self.every_s
        return max(self.every_s, min(LONGEST_PAUSE_S, 0.25 * 2.0**self.failures))


def all_jobs(deps: Deps, wait_s: float = 0.0) -> list[Job]:
    """Return the jobs that the settings call for.

    ``wait_s`` is how long the watch of a rail that reports settlements waits for one.
    """
    jobs = [job for rail in deps.chain_rails for job in _chain_jobs(rail)]
    jobs += [job for rail in deps.stream_rails for job in _stream_jobs(rail, wait_s)]
    return [
        *jobs,
        Job("rates", deps.settings.rate_refresh_s, refresh_rates),
        Job("expire", 1, expire_invoices),
        Job("expire_orders", 5, expire_orders),
        Job("checkpoint", 300, checkpoint_balances),
        Job("payouts_due", 60, schedule_payouts),
        Job("idempotency", 3_600, forget_idempotency_keys),
        Job("one_time_codes", 3_600, forget_one_time_codes),
        Job("gift_addresses", 3_600, forget_gift_addresses),
        Job("withdraw_links", 60, expire_links),
        Job("l402_bills", 3_600, forget_l402_bills),
        Job("wallet_sessions", 86_400, forget_signed_out_sessions),
        Job("login_challenges", 3_600, forget_challenges),
        Job("solvency", 60, publish_due),
        Job("webhooks", 0.25, _webhooks(deps, wait_s), "webhooks", shared=True),
        Job("old_webhooks", 3_600, forget_webhooks),
        # It may wait for a transaction that writes; a first run has years to read.
        Job("sales_book", 1, sales_book, "sales_book"),
        # In a lane of its own: a mail server that hangs keeps nobody else waiting.
        *([Job("mails", 5, send_mails, "mails")] if deps.mail else []),
    ]


def _webhooks(deps: Deps, wait_s: float) -> Callable[[Deps, Session], object]:
    """Return what delivers; a single round ends when all that is due was tried."""
    return WebhookCrew(deps, until_idle=wait_s == 0).run


def _chain_jobs(rail: ChainRail) -> list[Job]:
    return [
        Job(f"health:{rail.name}", 10, lambda d, s: record_health(d, s, rail)),
        Job(f"watch:{rail.name}", 0.5, lambda d, s: watch_rail(d, s, rail)),
        Job(f"unconfirmed:{rail.name}", 30, lambda d, s: check_unconfirmed(d, s, rail)),
        Job(f"reconcile:{rail.name}", 10, lambda d, s: reconcile_due(d, s, rail)),
        Job(f"payouts:{rail.name}", 10, lambda d, s: run_payouts(d, s, rail)),
    ]


def _stream_jobs(rail: StreamRail, wait_s: float) -> list[Job]:
    name = rail.name
    watch, look, pay = f"watch:{name}", f"look:{name}", f"pay:{name}"
    return [
        Job(f"health:{name}", 10, lambda d, s: record_health(d, s, rail), look),
        # It waits by itself; the pause is for a node that does not let it.
        Job(f"watch:{name}", 0.05, lambda d, s: watch_stream(d, s, rail, wait_s), watch),
        Job(f"requests:{name}", 1, lambda d, s: check_requests(d, s, rail), look),
        Job(f"reconcile:{name}", 10, lambda d, s: reconcile_due(d, s, rail), look),
        Job(f"payouts:{name}", 1, lambda d, s: run_payouts(d, s, rail), pay),
    ]


class _Keeper:
    """Extends the leases of runs that take long, so that no other process begins them, too.

    A run may wait for many nodes and strangers' servers, each within its own time limit, and
    their sum is more than a lease. Little rests on it: a process that was paused and comes
    back to a job of another one books nothing twice and begins no payment that it announced
    long ago. What was paused inside the call to a Lightning node ends that call.
    """

    def __init__(self, app: Flask, deps: Deps, holder: str) -> None:
        self._app, self._deps, self._holder = app, deps, holder
        self._running: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)

    def __enter__(self) -> "_Keeper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Keep the lease of a job while it runs."""
        with self._lock:
            self._running[name] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._running[name]

    def _loop(self) -> None:
        while not self._stop.wait(KEEP_EVERY_S):
            for name in self._long():
                with self._app.app_context():
                    self._keep(name)

    def _long(self) -> list[str]:
        now = time.monotonic()
        with self._lock:
            ages_s = {name: now - since for name, since in self._running.items()}
        return [name for name, age_s in ages_s.items() if KEEP_EVERY_S <= age_s <= KEEP_FOR_S]

    def _keep(self, name: str) -> None:
        session = db.session()
        try:
            with storage_errors():
                if not keep_lease(self._deps, session, name, self._holder, LEASE_S):
                    log.warning("job=%s was taken over by another process", name)
        except (BitcacheError, SQLAlchemyError) as error:
            log.warning("the lease of job=%s was not extended: %s", name, error)
        finally:
            session.rollback()


@dataclass(frozen=True)
class _Worker:
    """One run of the jobs: what they work with, and by what name it holds their leases."""

    app: Flask
    deps: Deps
    holder: str
    keeper: _Keeper


def run_jobs(app: Flask, *, only_once: bool = False, stop: threading.Event | None = None) -> bool:
    """Run all jobs until ``stop`` is set or a signal asks to end; return False after failures.

    ``only_once`` runs each job one time, for cron and for tests.
    """
    deps = deps_of(app)
    jobs = all_jobs(deps, 0.0 if only_once else WAIT_S)
    holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
    worker = _Worker(app, deps, holder, _Keeper(app, deps, holder))
    with worker.keeper:
        if only_once:
            _run_due(worker, jobs, now=float("inf"))
        else:
            _run_lanes(worker, jobs, stop or threading.Event())
    _end(app, holder)
    return not only_once or not any(job.failing for job in jobs)


def _run_lanes(worker: _Worker, jobs: list[Job], stop: threading.Event) -> None:
    """Run each lane in a thread of its own and the other jobs here, until the end is asked for."""
    by_lane = _by_lane(jobs)
    lanes = [
        threading.Thread(target=_loop, args=(worker, lane, stop), name=name, daemon=True)
        for name, lane in by_lane.items()
        if name
    ]
    with _signals(stop):
        for thread in lanes:
            thread.start()
        _loop(worker, by_lane[""], stop)
    deadline = time.monotonic() + END_S
    for thread in lanes:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            log.warning("lane=%s waits for its node and is left behind", thread.name)


def _by_lane(jobs: list[Job]) -> dict[str, list[Job]]:
    lanes: dict[str, list[Job]] = {"": []}
    for job in jobs:
        lanes.setdefault(job.lane, []).append(job)
    return lanes


def _loop(worker: _Worker, jobs: list[Job], stop: threading.Event) -> None:
    while not stop.is_set():
        _run_due(worker, jobs, now=time.monotonic())
        stop.wait(min(TICK_S, max(0.0, min(job.due_at for job in jobs) - time.monotonic())))


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the loop after the step that is under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_due(worker: _Worker, jobs: list[Job], now: float) -> None:
    for job in jobs:
        if job.due_at > now:
            continue
        job.due_at = now + job.every_s
        with worker.app.app_context():
            _run(worker, job)
        job.due_at = max(job.due_at, now + job.pause_s())


def _run(worker: _Worker, job: Job) -> None:
    deps, session, ours = worker.deps, db.session(), False
    try:
        with storage_errors():
            if job.shared:
                job.run(deps, session)
            elif ours := take_lease(deps, session, job.name, worker.holder, LEASE_S):
                with worker.keeper.running(job.name):
                    job.run(deps, session)
    except (BitcacheError, SQLAlchemyError) as error:
        if not job.failing:
            log.warning("job=%s failed: %s", job.name, error)
        job.failures += 1
    except Exception:
        log.exception("job=%s failed unexpectedly", job.name)
        job.failures += 1
    else:
        if job.failing:
            log.warning("job=%s works again", job.name)
        job.failures = 0
    finally:
        session.rollback()
    if ours and job.noted is not job.failing:
        _note(worker, job)


def _note(worker: _Worker, job: Job) -> None:
    try:
        with storage_errors():
            note_outcome(worker.deps, db.session(), job.name, failing=job.failing)
        job.noted = job.failing
    except (BitcacheError, SQLAlchemyError) as error:
        log.warning("the end of job=%s was not written down: %s", job.name, error)


def _end(app: Flask, holder: str) -> None:
    try:
        with app.app_context(), storage_errors():
            give_back(db.session(), holder)
    except BitcacheError as error:
        log.warning("the leases end by themselves: %s", error)
