"""What is well and what is ill, from the database's point of view."""

from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bitcache_server.models.operations import RailStatus, StoredRate
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_health import PayoutHealth, payout_health
from bitcache_server.services.reconcile import Code


class Part(BaseModel):
    """One part of the server: its state in a word and in a sentence."""

    name: str
    ok: bool
    code: str
    detail: str
    vital: bool = True
    """Readers cannot pay or read while it is ill; other parts call for the operator alone."""


def check_parts(deps: Deps, session: Session) -> list[Part]:
    """Return the state of the database, each rail, the rates and the money. Never raises."""
    try:
        rails = {row.rail: row for row in session.scalars(select(RailStatus))}
        oldest = session.scalar(select(StoredRate.as_of).order_by(StoredRate.as_of).limit(1))
        payouts = payout_health(deps, session)
        short = session.scalars(
            select(Reconciliation.rail)
            .where(Reconciliation.code == Code.SHORT)
            .order_by(Reconciliation.rail)
        ).all()
    except SQLAlchemyError:
        session.rollback()
        return [_part("database", "storage_unavailable", "The database does not answer.")]
    parts = [_part("database", "ok", "")]
    parts += [_rail(deps, name, rails.get(name)) for name in deps.rails]
    parts.append(_rates(deps, oldest))
    parts.append(_payouts(payouts))
    parts.append(_reconciliation(short))
    return parts


def _part(name: str, code: str, detail: str) -> Part:
    return Part(name=name, ok=code == "ok", code=code, detail=detail)


def _rail(deps: Deps, name: str, status: RailStatus | None) -> Part:
    if status is None:
        return _part(name, "never_checked", "The jobs have not run yet: start `bitcache jobs`.")
    age_s = deps.clock() - status.checked_at
    if age_s > deps.settings.rail_stale_after_s:
        return _part(name, "jobs_silent", f"The jobs last reported {age_s} s ago.")
    return _part(name, status.code, status.detail)


def _rates(deps: Deps, oldest_as_of: int | None) -> Part:
    if oldest_as_of is None:
        return _part("rates", "never_fetched", "No rate is known yet.")
    age_s = deps.clock() - oldest_as_of
    if age_s > deps.settings.rate_max_age_s:
        return _part("rates", "rates_old", f"A rate is {age_s} s old.")
    return _part("rates", "ok", f"The oldest rate is {max(0, age_s)} s old.")


def _payouts(health: PayoutHealth) -> Part:
    # Why they wait is no business of the public.
    ok = health.code == "ok"
    words = "They go out." if ok else f"{health.number} wait for the operator."
    return Part(name="payouts", ok=ok, code=health.code, detail=words, vital=False)


def _reconciliation(short: Sequence[str]) -> Part:
    """Say whether money is missing, to everybody who may ask: not how much."""
    words = f"Less money is held than is booked: {', '.join(short)}." if short else ""
    code = "short" if short else "ok"
    return Part(name="reconciliation", ok=not short, code=code, detail=words, vital=False)
