"""The outbox: what merchants are told, written in the transaction of what happened."""

import json
from collections.abc import Mapping

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bitcache_server.models.session import require_write_transaction
from bitcache_server.models.webhooks import WebhookDelivery, WebhookEndpoint, WebhookEvent
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_types import API_VERSION, EVENT_TYPES
from bitcache_server.tokens.secrets import new_id

#: An endpoint with it is told of everything, also of types that are still to come.
ALL_TYPES = "*"
WAITING = "waiting"


def emit(
    deps: Deps, session: Session, merchant_id: str, event_type: str, data: Mapping[str, object]
) -> None:
    """Put an event into the outbox, inside the caller's write transaction.

    ``data`` has the form that ``services/webhook_types.py`` says. Where the merchant has no
    endpoint that wants it, nothing is written; one that is switched off can be sent it later.
    """
    require_write_transaction(session)
    wanting = _endpoints(session, merchant_id, event_type)
    if not wanting:
        return
    number = write_event(deps, session, merchant_id, event_type, data)
    now = deps.clock()
    rows = [_waiting(one, number, now) for one, enabled in wanting if enabled]
    if rows:
        session.execute(insert(WebhookDelivery), rows)


def is_wanted(session: Session, merchant_id: str, event_type: str) -> bool:
    """Say whether any endpoint wants it: who has many events to tell asks once for all."""
    return bool(_endpoints(session, merchant_id, event_type))


def write_event(
    deps: Deps, session: Session, merchant_id: str, event_type: str, data: Mapping[str, object]
) -> int:
    """Write an event and return its number; deliveries are the caller's."""
    if event_type not in EVENT_TYPES:
        raise ValueError(f"There is no event type {event_type!r}.")
    values = {
        "id": new_id("ev"),
        "merchant_id": merchant_id,
        "type": event_type,
        "api_version": API_VERSION,
        "subject": str(data.get("id") or data.get("order") or "")[:96],
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        "created_at": deps.clock(),
    }
    query = insert(WebhookEvent).values(values).returning(WebhookEvent.number)
    return session.execute(query).scalar_one()


def add_delivery(deps: Deps, session: Session, endpoint_id: str, event_number: int) -> int:
    """Let an event go to one endpoint and return the delivery's id."""
    row = _waiting(endpoint_id, event_number, deps.clock())
    query = insert(WebhookDelivery).values(row).returning(WebhookDelivery.id)
    return session.execute(query).scalar_one()


def wants(event_types: str, event_type: str) -> bool:
    """Say whether an endpoint with these event types, as stored, is told of this one."""
    chosen = event_types.split()
    return ALL_TYPES in chosen or event_type in chosen


def _endpoints(session: Session, merchant_id: str, event_type: str) -> list[tuple[str, bool]]:
    """Return the endpoints that want it, and whether each is switched on."""
    query = select(WebhookEndpoint.id, WebhookEndpoint.enabled, WebhookEndpoint.event_types).where(
        WebhookEndpoint.merchant_id == merchant_id, WebhookEndpoint.deleted_at.is_(None)
    )
    return [
        (endpoint_id, enabled)
        for endpoint_id, enabled, event_types in session.execute(query)
        if wants(event_types, event_type)
    ]


def _waiting(endpoint_id: str, event_number: int, now: int) -> dict[str, object]:
    return {
        "endpoint_id": endpoint_id,
        "event_number": event_number,
        "state": WAITING,
        "attempts": 0,
        "tries": 0,
        "next_at": now,
        "created_at": now,
    }
