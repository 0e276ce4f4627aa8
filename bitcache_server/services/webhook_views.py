"""What is shown of webhooks: endpoints, events, deliveries and each attempt. Only reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row, Select, select, tuple_
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, UnknownEvent
from bitcache_server.models.webhooks import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

STATES = ("waiting", "delivered", "failed")


class EndpointView(BaseModel):
    """A webhook endpoint. Times in Unix seconds."""

    id: str
    url: str
    description: str
    event_types: list[str]
    """``*`` is all."""
    enabled: bool
    disabled_reason: str
    """``paused`` by somebody, ``failing`` for five days, ``gone`` (410); else empty."""
    failing_since: int | None
    """Since when nothing but failures came back."""
    old_secret_until: int | None
    """Until when the secret before the last rotation signs as well."""
    created_at: int


class NewEndpointView(EndpointView):
    """An endpoint with its secret, which is shown only now."""

    secret: str


class EventView(BaseModel):
    """An event as it is, or would be, sent."""

    id: str
    type: str
    api_version: str
    created_at: int
    data: dict[str, object]


@dataclass(frozen=True)
class DeliveryLine:
    """One delivery in a list."""

    id: int
    endpoint_id: str
    url: str
    event_id: str
    event_type: str
    subject: str
    state: str
    attempts: int
    next_at: int
    done_at: int | None
    created_at: int


def endpoint_view(endpoint: WebhookEndpoint, now: int) -> EndpointView:
    """Return an endpoint as its owner sees it: without a secret."""
    overlaps = (endpoint.old_secret_until or 0) > now
    return EndpointView(
        id=endpoint.id,
        url=endpoint.url,
        description=endpoint.description,
        event_types=endpoint.event_types.split(),
        enabled=endpoint.enabled,
        disabled_reason=endpoint.disabled_reason,
        failing_since=endpoint.failing_since,
        old_secret_until=endpoint.old_secret_until if overlaps else None,
        created_at=endpoint.created_at,
    )


def new_endpoint_view(endpoint: WebhookEndpoint, secret: str, now: int) -> NewEndpointView:
    """Return an endpoint with the secret that was just made."""
    return NewEndpointView(**endpoint_view(endpoint, now).model_dump(), secret=secret)


def event_view(event: WebhookEvent) -> EventView:
    """Return an event."""
    return EventView(
        id=event.id,
        type=event.type,
        api_version=event.api_version,
        created_at=event.created_at,
        data=json.loads(event.data),
    )


def get_event(session: Session, merchant_id: str, event_id: str) -> WebhookEvent:
    """Return an event of this merchant; raise UnknownEvent for all others alike."""
    event = session.scalar(
        select(WebhookEvent).where(
            WebhookEvent.id == event_id, WebhookEvent.merchant_id == merchant_id
        )
    )
    if event is None:
        raise UnknownEvent(f"There is no event {event_id[:64]!r}.")
    return event


def list_events(
    session: Session, merchant_id: str, event_type: str | None, cursor: str | None, limit: int
) -> tuple[Sequence[WebhookEvent], str | None]:
    """Return events of a merchant, newest first, and the cursor of the next ones.

    The cursor is the id of the last event; raises InvalidRequest for one that is not there.
    """
    place = tuple_(WebhookEvent.created_at, WebhookEvent.number)
    query = select(WebhookEvent).where(WebhookEvent.merchant_id == merchant_id)
    if event_type is not None:
        query = query.where(WebhookEvent.type == event_type)
    if cursor is not None:
        try:
            last = get_event(session, merchant_id, cursor)
        except UnknownEvent:
            raise InvalidRequest("The cursor is not one that this server gave out.") from None
        query = query.where(place < (last.created_at, last.number))
    query = query.order_by(WebhookEvent.created_at.desc(), WebhookEvent.number.desc())
    rows = session.scalars(query.limit(limit + 1)).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def list_deliveries(
    session: Session, endpoint_id: str, state: str | None, before: int | None, limit: int
) -> list[DeliveryLine]:
    """Return deliveries to an endpoint, the newest first, from below the id ``before``."""
    query = _lines().where(WebhookDelivery.endpoint_id == endpoint_id)
    if state in STATES:
        query = query.where(WebhookDelivery.state == state)
    if before is not None:
        query = query.where(WebhookDelivery.id < before)
    query = query.order_by(WebhookDelivery.id.desc()).limit(limit)
    return [_line(row) for row in session.execute(query)]


def get_delivery(session: Session, merchant_id: str, delivery_id: str) -> DeliveryLine:
    """Return a delivery of this merchant's; raise UnknownEvent for all others alike."""
    row = None
    if delivery_id.isascii() and delivery_id.isdigit() and len(delivery_id) < 19:
        query = _lines().where(
            WebhookDelivery.id == int(delivery_id), WebhookEvent.merchant_id == merchant_id
        )
        row = session.execute(query).first()
    if row is None:
        raise UnknownEvent(f"There is no delivery {delivery_id[:64]!r}.")
    return _line(row)


def deliveries_about(session: Session, merchant_id: str, subject: str) -> list[DeliveryLine]:
    """Return what was delivered about a sale, an invoice or an order, the oldest first."""
    query = _lines().where(WebhookEvent.subject == subject, WebhookEvent.merchant_id == merchant_id)
    query = query.order_by(WebhookDelivery.id).limit(100)
    return [_line(row) for row in session.execute(query)]


def attempts_of(session: Session, delivery_id: int) -> Sequence[WebhookAttempt]:
    """Return the attempts of a delivery, the newest first."""
    query = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id)
    return session.scalars(query.order_by(WebhookAttempt.number.desc())).all()


_COLUMNS: tuple[Any, ...] = (
    WebhookDelivery.id,
    WebhookDelivery.endpoint_id,
    WebhookEndpoint.url,
    WebhookEvent.id.label("event_id"),
    WebhookEvent.type.label("event_type"),
    WebhookEvent.subject,
    WebhookDelivery.state,
    WebhookDelivery.attempts,
    WebhookDelivery.next_at,
    WebhookDelivery.done_at,
    WebhookDelivery.created_at,
)


def _lines() -> Select[Any]:
    return (
        select(*_COLUMNS)
        .join(WebhookEvent, WebhookEvent.number == WebhookDelivery.event_number)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
    )


def _line(row: Row[Any]) -> DeliveryLine:
    return DeliveryLine(**row._mapping)
