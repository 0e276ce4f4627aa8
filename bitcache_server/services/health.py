"""What is well and what is ill, and since when, from the database's point of view."""

from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bitcache_server.models.operations import RailStatus, StoredRate
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_health import PayoutHealth, payout_health
from bitcache_server.services.queue_health import Illness, jobs_illness, queue_illnesses
from bitcache_server.services.reconcile import Code


class Part(BaseModel):
    """One part of the server: its state in a word and in a sentence."""

    name: str
    ok: bool
    code: str
    detail: str
    vital: bool = True
    """Readers cannot pay or read while it is ill; other parts call for the operator alone."""
    since: int | None = None
    """Unix seconds since when it is ill, as far as that is known; null while it is well."""


def check_parts(deps: Deps, session: Session) -> list[Part]:
    """Return how the database, each rail, rates, money, jobs and queues are. Never raises."""
    try:
        rails = {row.rail: row for row in session.scalars(select(RailStatus))}
        oldest = session.scalar(select(StoredRate.as_of).order_by(StoredRate.as_of).limit(1))
        payouts = payout_health(deps, session)
        short = session.scalars(
            select(Reconciliation)
            .where(Reconciliation.code == Code.SHORT)
            .order_by(Reconciliation.rail)
        ).all()
        jobs = jobs_illness(deps, session)
        queues = queue_illnesses(deps, session)
    except SQLAlchemyError:
        session.rollback()
        return [_part("database", "storage_unavailable", "The database does not answer.")]
    parts = [_part("database", "ok", "")]
    parts += [_rail(deps, name, rails.get(name)) for name in deps.rails]
    parts.append(_rates(deps, oldest))
    parts.append(_payouts(payouts))
    parts.append(_reconciliation(short))
    parts.append(_queue("jobs", jobs))
    parts += [_queue(name, illness) for name, illness in queues.items()]
    return parts


def _part(name: str, code: str, detail: str, since: int | None = None) -> Part:
    ok = code == "ok"
    return Part(name=name, ok=ok, code=code, detail=detail, since=None if ok else since)


def _rail(deps: Deps, name: str, status: RailStatus | None) -> Part:
    if status is None:
        return _part(name, "never_checked", "The jobs have not run yet: start `bitcache jobs`.")
    age_s = deps.clock() - status.checked_at
    if age_s > deps.settings.rail_stale_after_s:
        words = f"The jobs last reported {age_s} s ago."
        return _part(name, "jobs_silent", words, status.checked_at)
    # 0 stands for never.
    return _part(name, status.code, status.detail, status.ok_at or None)


def _rates(deps: Deps, oldest_as_of: int | None) -> Part:
    if oldest_as_of is None:
        return _part("rates", "never_fetched", "No rate is known yet.")
    age_s, most_s = deps.clock() - oldest_as_of, deps.settings.rate_max_age_s
    if age_s > most_s:
        return _part("rates", "rates_old", f"A rate is {age_s} s old.", oldest_as_of + most_s)
    return _part("rates", "ok", f"The oldest rate is {max(0, age_s)} s old.")


def _payouts(health: PayoutHealth) -> Part:
    # Why they wait is no business of the public.
    ok = health.code == "ok"
    words = "They go out." if ok else f"{health.number} wait for the operator."
    return Part(
        name="payouts", ok=ok, code=health.code, detail=words, vital=False, since=health.since
    )


def _reconciliation(short: Sequence[Reconciliation]) -> Part:
    """Say whether money is missing, to everybody who may ask: not how much."""
    rails = ", ".join(row.rail for row in short)
    return Part(
        name="reconciliation",
        ok=not short,
        code="short" if short else "ok",
        detail=f"Less money is held than is booked: {rails}." if short else "",
        vital=False,
        since=min((row.since for row in short), default=None),
    )


def _queue(name: str, illness: Illness | None) -> Part:
    if illness is None:
        return Part(name=name, ok=True, code="ok", detail="", vital=False)
    return Part(
        name=name,
        ok=False,
        code=illness.code,
        detail=illness.detail,
        vital=False,
        since=illness.since,
    )
