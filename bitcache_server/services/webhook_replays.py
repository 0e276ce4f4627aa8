"""Send events once more, send one to try whether it arrives, and forget old ones."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.i18n import mark as _
from bitcache_server.models.session import require_write_transaction, write_transaction
from bitcache_server.models.webhooks import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_endpoints import By, endpoint_for
from bitcache_server.services.webhook_events import ALL_TYPES, WAITING, add_delivery, write_event
from bitcache_server.services.webhook_steps import DELIVERED
from bitcache_server.services.webhook_views import get_event

#: So many events are sent again with one call.
MAX_REPLAYED = 10_000
#: No range is sent again while so many events wait for the endpoint.
MAX_WAITING = 50_000
_FORGET_CHUNK = 500
_TEST = "test"


@dataclass(frozen=True)
class Span:
    """Events from ``since`` until ``until``, both included, in Unix seconds."""

    since: int
    until: int
    delivered_too: bool = False
    """Also those that arrived; else only what did not, or was never sent."""


@dataclass(frozen=True)
class Replayed:
    """How many events are sent again, and from when the next call goes on; None at the end."""

    count: int
    next_since: int | None


def send_test(deps: Deps, session: Session, by: By, endpoint_id: str) -> int:
    """Send an event of type ``test`` to one endpoint and return the delivery's id.

    Runs in the caller's write transaction. Raises UnknownEndpoint, InvalidRequest.
    """
    endpoint = _receiving(session, by, endpoint_id)
    data = {"id": endpoint.id, "message": "This is a test. Nothing was sold."}
    number = write_event(deps, session, by.merchant_id, _TEST, data)
    return add_delivery(deps, session, endpoint.id, number)


def replay_event(deps: Deps, session: Session, by: By, endpoint_id: str, event_id: str) -> int:
    """Send one event again, also one that arrived; return the delivery's id.

    Runs in the caller's write transaction. Raises UnknownEndpoint, UnknownEvent,
    InvalidRequest.
    """
    endpoint = _receiving(session, by, endpoint_id)
    event = get_event(session, by.merchant_id, event_id)
    delivery = session.scalar(
        select(WebhookDelivery)
        .where(
            WebhookDelivery.event_number == event.number,
            WebhookDelivery.endpoint_id == endpoint.id,
        )
        .with_for_update()
    )
    if delivery is None:
        return add_delivery(deps, session, endpoint.id, event.number)
    delivery.state, delivery.tries, delivery.done_at = WAITING, 0, None
    delivery.next_at = deps.clock()
    session.flush()
    return delivery.id


def replay_range(deps: Deps, session: Session, by: By, endpoint_id: str, span: Span) -> Replayed:
    """Send the events of a time again, those that the endpoint wants, oldest first.

    Runs in the caller's write transaction. Raises UnknownEndpoint, InvalidRequest.
    """
    require_write_transaction(session)
    if span.since > span.until:
        raise InvalidRequest(_("The end is before the beginning."))
    endpoint = _receiving(session, by, endpoint_id)
    _require_room(session, endpoint)
    numbers, next_since = _events_of(session, endpoint, span)
    count = 0
    for start in range(0, len(numbers), _FORGET_CHUNK):
        chunk = numbers[start : start + _FORGET_CHUNK]
        count += _send_again(deps, session, endpoint.id, chunk, span.delivered_too)
    note(
        deps,
        session,
        "webhook.replayed",
        merchant_id=by.merchant_id,
        account_id=by.account_id,
        subject=endpoint.id,
        since=span.since,
        until=span.until,
        count=count,
    )
    return Replayed(count, next_since)


def forget_webhooks(deps: Deps, session: Session) -> None:
    """Delete events older than the operator's limit, with what was delivered of them."""
    oldest = deps.clock() - deps.settings.webhook_keep_days * SECONDS_PER_DAY
    while True:
        with write_transaction(session):
            old = select(WebhookEvent.number).where(WebhookEvent.created_at < oldest)
            numbers = session.scalars(
                old.order_by(WebhookEvent.created_at).limit(_FORGET_CHUNK)
            ).all()
            of_them = WebhookDelivery.event_number.in_(numbers)
            deliveries = select(WebhookDelivery.id).where(of_them)
            session.execute(
                delete(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(deliveries))
            )
            session.execute(delete(WebhookDelivery).where(of_them))
            session.execute(delete(WebhookEvent).where(WebhookEvent.number.in_(numbers)))
        if len(numbers) < _FORGET_CHUNK:
            return


def _receiving(session: Session, by: By, endpoint_id: str) -> WebhookEndpoint:
    endpoint = endpoint_for(session, by, endpoint_id)
    if not endpoint.enabled:
        raise InvalidRequest(_("The endpoint is switched off; switch it on first."))
    return endpoint


def _require_room(session: Session, endpoint: WebhookEndpoint) -> None:
    waiting = select(WebhookDelivery.id).where(
        WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.state == WAITING
    )
    some = waiting.limit(MAX_WAITING).subquery()
    if session.scalar(select(func.count()).select_from(some)) == MAX_WAITING:
        raise InvalidRequest(_("Very many events wait for this endpoint already. Try again later."))


def _events_of(
    session: Session, endpoint: WebhookEndpoint, span: Span
) -> tuple[list[int], int | None]:
    query = select(WebhookEvent.number, WebhookEvent.created_at).where(
        WebhookEvent.merchant_id == endpoint.merchant_id,
        WebhookEvent.created_at >= span.since,
        WebhookEvent.created_at <= span.until,
        WebhookEvent.type != _TEST,
    )
    if endpoint.event_types != ALL_TYPES:
        query = query.where(WebhookEvent.type.in_(endpoint.event_types.split()))
    query = query.order_by(WebhookEvent.created_at, WebhookEvent.number)
    rows = session.execute(query.limit(MAX_REPLAYED + 1)).all()
    next_since = rows[MAX_REPLAYED].created_at if len(rows) > MAX_REPLAYED else None
    return [row.number for row in rows[:MAX_REPLAYED]], next_since


def _send_again(
    deps: Deps, session: Session, endpoint_id: str, numbers: list[int], delivered_too: bool
) -> int:
    now = deps.clock()
    again = {"state": WAITING, "tries": 0, "next_at": now, "done_at": None}
    rows = [
        {"endpoint_id": endpoint_id, "event_number": number, "attempts": 0, "created_at": now}
        for number in numbers
    ]
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(WebhookDelivery).values([{**row, **again} for row in rows])
    statement = statement.on_conflict_do_update(
        index_elements=["event_number", "endpoint_id"],
        set_=again,
        where=None if delivered_too else WebhookDelivery.state != DELIVERED,
    )
    return len(session.execute(statement.returning(WebhookDelivery.id)).all())
