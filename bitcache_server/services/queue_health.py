"""Whether the jobs run, and whether what they should do gets done in time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.models.accounts import QueuedMail
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.operations import JobLease
from bitcache_server.models.webhooks import WebhookDelivery, WebhookEndpoint
from bitcache_server.services.deps import Deps
from bitcache_server.services.sales_book import read_through_id
from bitcache_server.services.webhook_events import WAITING

#: Some job begins every second, so after this time no process runs them.
SILENT_AFTER_S = 60
#: A first failure may pass; one that lasts is told.
FAILING_AFTER_S = 60
#: What waits this long is not waiting for its turn any more.
LATE_AFTER_S = 300


@dataclass(frozen=True)
class Illness:
    """What is wrong, in a word and a sentence for everybody, and since when."""

    code: str
    detail: str
    since: int | None


def jobs_illness(deps: Deps, session: Session) -> Illness | None:
    """Return what is wrong with the jobs, or None."""
    last, failing = session.execute(
        select(func.max(JobLease.began_at), func.min(JobLease.failing_since))
    ).one()
    if last is None:
        return Illness("never_ran", "The jobs have not run yet: start `bitcache jobs`.", None)
    now = deps.clock()
    if now - last > SILENT_AFTER_S:
        return Illness("jobs_silent", f"No job began for {now - last} s.", last)
    if failing is not None and now - failing > FAILING_AFTER_S:
        names = session.scalars(
            select(JobLease.name).where(JobLease.failing_since.is_not(None)).order_by(JobLease.name)
        )
        return Illness("job_fails", f"These fail: {', '.join(names)}.", failing)
    return None


def queue_illnesses(deps: Deps, session: Session) -> Mapping[str, Illness | None]:
    """Return what waits for too long, by the name of the queue; None for a queue that moves."""
    queues: Mapping[str, tuple[Callable[[Session], int | None], str]] = {
        "webhooks": (_oldest_delivery, "Webhooks are not sent."),
        "mails": (_oldest_mail, "Mails are not sent."),
        "sales_book": (_oldest_unread, "Sales do not get into the merchants' book."),
    }
    now = deps.clock()
    found: dict[str, Illness | None] = {}
    for name, (oldest, words) in queues.items():
        since = oldest(session)
        is_late = since is not None and now - since > LATE_AFTER_S
        found[name] = Illness("late", words, since) if is_late else None
    return found


def _oldest_delivery(session: Session) -> int | None:
    """Return since when a delivery waits untried; one that a receiver refused is not our fault."""
    return session.scalar(
        select(func.min(WebhookDelivery.next_at))
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(
            WebhookDelivery.state == WAITING,
            WebhookDelivery.attempts == 0,
            WebhookEndpoint.enabled,
            WebhookEndpoint.failing_since.is_(None),
            WebhookEndpoint.deleted_at.is_(None),
        )
    )


def _oldest_mail(session: Session) -> int | None:
    return session.scalar(select(func.min(QueuedMail.created_at)))


def _oldest_unread(session: Session) -> int | None:
    read_to = read_through_id(session)
    query = select(Transfer.created_at).where(Transfer.id > read_to).order_by(Transfer.id)
    return session.scalar(query.limit(1))
