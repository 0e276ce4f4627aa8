"""One process at a time runs a job; a dead one's lease ends by itself."""

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from bitcache_server.models.operations import JobLease
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.services.deps import Deps


def take_lease(deps: Deps, session: Session, name: str, holder: str, lasts_s: int) -> bool:
    """Take or extend the lease of a job; return False while another process has it.

    The jobs stay correct without it (each booking checks what it finds); the lease
    only keeps two processes from doing the same work.
    """
    now = deps.clock()
    with write_transaction(session):
        insert_missing(session, JobLease, name=name, holder=holder, expires_at=0)
        taken = session.execute(
            update(JobLease)
            .where(
                JobLease.name == name,
                or_(JobLease.holder == holder, JobLease.expires_at <= now),
            )
            .values(holder=holder, expires_at=now + lasts_s, began_at=now)
            .returning(JobLease.name)
        ).first()
    return taken is not None


def note_outcome(deps: Deps, session: Session, name: str, *, failing: bool) -> None:
    """Write down since when a job fails, or that it works again; for ``/health``."""
    unchanged = JobLease.failing_since.is_not(None) if failing else JobLease.failing_since.is_(None)
    known = session.scalar(select(JobLease.name).where(JobLease.name == name, unchanged))
    session.rollback()
    if known is not None:
        return
    with write_transaction(session):
        session.execute(
            update(JobLease)
            .where(JobLease.name == name)
            .values(failing_since=deps.clock() if failing else None)
        )


def keep_lease(deps: Deps, session: Session, name: str, holder: str, lasts_s: int) -> bool:
    """Extend a lease that the process still has; return False when another one took it over."""
    with write_transaction(session):
        kept = session.execute(
            update(JobLease)
            .where(JobLease.name == name, JobLease.holder == holder)
            .values(expires_at=deps.clock() + lasts_s)
            .returning(JobLease.name)
        ).first()
    return kept is not None


def give_back(session: Session, holder: str) -> None:
    """End all leases of a process that stops, so that another need not wait."""
    with write_transaction(session):
        session.execute(update(JobLease).where(JobLease.holder == holder).values(expires_at=0))
