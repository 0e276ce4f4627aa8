"""Figures of the database for Prometheus, read at most once in a few seconds."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.models.operations import Backup, JobLease, RailStatus, StoredRate
from bitcache_server.models.payouts import Payout
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import storage_errors
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.books import balance_lines
from bitcache_server.services.deps import Deps
from bitcache_server.services.health import check_parts
from bitcache_server.services.operator_overview import queues

#: Several Prometheus servers, or an impatient one, cost the database no more than one.
KEEP_S = 10

Sample = tuple[Sequence[str], float]


@dataclass(frozen=True)
class Figure:
    """One name, and a number for each combination of its labels."""

    name: str
    words: str
    labels: Sequence[str]
    samples: Sequence[Sample]


class Figures:
    """What was read last. One for each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Sequence[Figure] = ()
        self._until = 0

    def read(self, deps: Deps, session: Session) -> Sequence[Figure]:
        """Return all figures, or that the database does not answer. Never raises."""
        with self._lock:
            now = deps.clock()
            if not self._until - KEEP_S <= now < self._until:
                self._kept, self._until = _read(deps, session), now + KEEP_S
            return self._kept


def _read(deps: Deps, session: Session) -> Sequence[Figure]:
    try:
        with storage_errors():
            found = [*_figures(deps, session)]
        up = 1.0
    except (BitcacheError, SQLAlchemyError):
        found, up = [], 0.0
    finally:
        session.rollback()
    return [Figure("bitcache_database_up", "Whether the database answers.", (), [((), up)]), *found]


def _figures(deps: Deps, session: Session) -> Iterator[Figure]:
    now = deps.clock()
    parts = [((part.name,), float(part.ok)) for part in check_parts(deps, session)]
    yield Figure("bitcache_part_ok", "Health of each part, as /health has it.", ("part",), parts)
    yield from _money(session)
    yield from _work(session)
    yield from _rails(session)
    rates = [
        ((row.currency,), float(now - row.as_of)) for row in session.scalars(select(StoredRate))
    ]
    yield Figure("bitcache_rate_age_seconds", "Age of the last rate.", ("currency",), rates)
    leases = session.scalars(select(JobLease).where(JobLease.began_at.is_not(None))).all()
    jobs = [((row.name,), float(now - (row.began_at or 0))) for row in leases]
    yield Figure("bitcache_job_age_seconds", "Time since each job began last.", ("job",), jobs)
    fails = [((row.name,), float(row.failing_since is not None)) for row in leases]
    yield Figure("bitcache_job_failing", "Whether its last run failed.", ("job",), fails)
    taken_at = session.scalar(select(func.max(Backup.taken_at)))
    if taken_at is not None:
        words = "Time since `bitcache backup` made one."
        yield Figure("bitcache_backup_age_seconds", words, (), [((), float(now - taken_at))])


def _money(session: Session) -> Iterator[Figure]:
    """Yield what accounts hold by their kind; merchants are one sum, so that no label names one."""
    totals: dict[str, int] = {}
    for line in balance_lines(session):
        kind = line.account.removeprefix("all ").partition(":")[0]
        totals[kind] = totals.get(kind, 0) + line.balance_msat
    samples = [((kind,), float(msat)) for kind, msat in sorted(totals.items())]
    yield Figure("bitcache_ledger_msat", "Ledger by kind of account.", ("kind",), samples)
    rows = session.execute(select(Reconciliation)).scalars().all()
    short = [((row.rail, row.code), 1.0) for row in rows]
    words = "The last comparison of each rail with the books."
    yield Figure("bitcache_reconciliation", words, ("rail", "code"), short)


def _work(session: Session) -> Iterator[Figure]:
    samples = [((queue.name,), float(queue.waiting)) for queue in queues(session)]
    yield Figure("bitcache_queue", "What the jobs still have to do.", ("queue",), samples)
    by_state = select(Payout.state, func.count()).group_by(Payout.state)
    states = [((str(state),), float(number)) for state, number in session.execute(by_state)]
    yield Figure("bitcache_payouts", "Payouts by state.", ("state",), states)
    invoices = select(Invoice.state, func.count()).group_by(Invoice.state)
    known = {state.value: 0.0 for state in InvoiceState}
    known |= {str(state): float(number) for state, number in session.execute(invoices)}
    yield Figure(
        "bitcache_invoices", "Invoices by state.", ("state",), [((s,), n) for s, n in known.items()]
    )
    failing = session.scalar(
        select(func.count())
        .select_from(WebhookEndpoint)
        .where(WebhookEndpoint.failing_since.is_not(None), WebhookEndpoint.deleted_at.is_(None))
    )
    words = "Webhook endpoints whose receiver fails."
    yield Figure("bitcache_webhook_endpoints_failing", words, (), [((), float(failing or 0))])


def _rails(session: Session) -> Iterator[Figure]:
    rows = session.scalars(select(RailStatus).order_by(RailStatus.rail)).all()
    well = [((row.rail,), float(row.ok)) for row in rows]
    yield Figure("bitcache_rail_ok", "Whether each rail is well.", ("rail",), well)
    heights = [((row.rail,), float(row.tip_height)) for row in rows if row.tip_height]
    yield Figure("bitcache_rail_height", "The newest block of each rail.", ("rail",), heights)
    room = [
        ((row.rail,), float(row.receivable_msat)) for row in rows if row.receivable_msat is not None
    ]
    words = "The largest amount that can arrive now."
    yield Figure("bitcache_rail_receivable_msat", words, ("rail",), room)
