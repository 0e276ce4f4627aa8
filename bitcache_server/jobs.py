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
from bitcache_server.rails.base import Rail
from bitcache_server.services.deps import Deps, deps_of
from bitcache_server.services.gifts import forget_gift_addresses
from bitcache_server.services.housekeeping import (
    checkpoint_balances,
    expire_invoices,
    forget_idempotency_keys,
)
from bitcache_server.services.leases import give_back, take_lease
from bitcache_server.services.merchant_payouts import schedule_payouts
from bitcache_server.services.one_time_codes import forget_one_time_codes
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.reconcile import reconcile_due
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.solvency import publish_due
from bitcache_server.services.wallets import forget_signed_out_sessions
from bitcache_server.services.watch_rail import check_unconfirmed, watch_rail

log = logging.getLogger(__name__)

#: A dead process's jobs are taken over after this time.
LEASE_S = 15
TICK_S = 0.25


@dataclass
class Job:
    """Something to do again and again."""

    name: str
    every_s: float
    run: Callable[[Deps, Session], object]
    due_at: float = 0.0
    failing: bool = field(default=False)
    """The last run failed; logged once when it begins and once when it ends."""


def all_jobs(deps: Deps) -> list[Job]:
    """Return the jobs that the settings call for."""
    jobs = []
    for rail in deps.rails.values():
        jobs += _rail_jobs(rail)
    return [
        *jobs,
        Job("rates", deps.settings.rate_refresh_s, refresh_rates),
        Job("expire", 1, expire_invoices),
        Job("checkpoint", 300, checkpoint_balances),
        Job("payouts_due", 60, schedule_payouts),
        Job("idempotency", 3_600, forget_idempotency_keys),
        Job("one_time_codes", 3_600, forget_one_time_codes),
        Job("gift_addresses", 3_600, forget_gift_addresses),
        Job("wallet_sessions", 86_400, forget_signed_out_sessions),
        Job("solvency", 60, publish_due),
    ]


def _rail_jobs(rail: Rail) -> list[Job]:
    return [
        Job(f"health:{rail.name}", 10, lambda d, s: record_health(d, s, rail)),
        Job(f"watch:{rail.name}", 0.5, lambda d, s: watch_rail(d, s, rail)),
        Job(f"unconfirmed:{rail.name}", 30, lambda d, s: check_unconfirmed(d, s, rail)),
        Job(f"reconcile:{rail.name}", 10, lambda d, s: reconcile_due(d, s, rail)),
        Job(f"payouts:{rail.name}", 10, lambda d, s: run_payouts(d, s, rail)),
    ]


def run_jobs(app: Flask, *, only_once: bool = False, stop: threading.Event | None = None) -> bool:
    """Run all jobs until ``stop`` is set or a signal asks to end; return False after failures.

    ``only_once`` runs each job one time, for cron and for tests.
    """
    deps = deps_of(app)
    jobs = all_jobs(deps)
    holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
    if only_once:
        _run_due(app, deps, jobs, holder, now=float("inf"))
        _end(app, holder)
        return not any(job.failing for job in jobs)
    stop = stop or threading.Event()
    with _signals(stop):
        while not stop.is_set():
            _run_due(app, deps, jobs, holder, now=time.monotonic())
            stop.wait(TICK_S)
    _end(app, holder)
    return True


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


def _run_due(app: Flask, deps: Deps, jobs: list[Job], holder: str, now: float) -> None:
    for job in jobs:
        if job.due_at > now:
            continue
        job.due_at = now + job.every_s
        with app.app_context():
            _run(deps, job, holder)


def _run(deps: Deps, job: Job, holder: str) -> None:
    session = db.session()
    try:
        with storage_errors():
            if take_lease(deps, session, job.name, holder, LEASE_S):
                job.run(deps, session)
    except (BitcacheError, SQLAlchemyError) as error:
        if not job.failing:
            log.warning("job=%s failed: %s", job.name, error)
        job.failing = True
    except Exception:
        log.exception("job=%s failed unexpectedly", job.name)
        job.failing = True
    else:
        if job.failing:
            log.warning("job=%s works again", job.name)
        job.failing = False
    finally:
        session.rollback()


def _end(app: Flask, holder: str) -> None:
    try:
        with app.app_context(), storage_errors():
            give_back(db.session(), holder)
    except BitcacheError as error:
        log.warning("the leases end by themselves: %s", error)
