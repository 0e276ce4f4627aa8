"""What is stored of deliveries: each step in one transaction, none of them asks the net."""

import json
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from bitcache_server.delivery.webhook import Message, Result
from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.webhooks import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_events import WAITING
from bitcache_server.services.webhook_secrets import signing_secrets

log = logging.getLogger(__name__)

DELIVERED = "delivered"
FAILED = "failed"
#: Seconds after the first failure, the second, …: 27 hours and 42 minutes in all.
BACKOFF_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
#: Up to so much is added at random, so that what failed together does not come together.
JITTER = 0.1
LONGEST_RETRY_AFTER_S = 43_200
#: An endpoint from which nothing but failures came for so long is switched off.
GIVE_UP_S = 5 * SECONDS_PER_DAY
GONE = 410
SLOW_MS = 2_000
#: Who was slow stays among the slow for so long: else who is slow every second time would keep
#: half of the others waiting.
SLOW_AGE_S = 3_600


@dataclass(frozen=True)
class Order:
    """One event to send now, apart from the session."""

    delivery_id: int
    endpoint_id: str
    token: str
    """That of the endpoint's lease."""
    url: str
    message: Message
    doubtful: bool


def next_order(deps: Deps, session: Session, endpoint_id: str, token: str) -> Order | None:
    """Return what is to be sent to an endpoint next, while its lease lasts; else None."""
    endpoint = session.get(WebhookEndpoint, endpoint_id, populate_existing=True)
    if endpoint is None or endpoint.leased_by != token:
        return None
    return _due(deps, session, endpoint, token)


def record(
    deps: Deps, session: Session, order: Order, result: Result, lease_s: int | None
) -> Order | None:
    """Store what came of an order in the caller's transaction; return the next one.

    The lease is extended by ``lease_s``; with None, at the end of what is due and after a
    failure it is given back, and None is returned.
    """
    endpoint = session.get_one(
        WebhookEndpoint, order.endpoint_id, populate_existing=True, with_for_update=True
    )
    _store_result(deps, session, order, result)
    _judge(deps, session, endpoint, result)
    session.flush()
    if endpoint.leased_by != order.token:
        # The lease ended meanwhile, and somebody else goes on.
        return None
    following = None
    if lease_s is not None and not result.error:
        following = _due(deps, session, endpoint, order.token)
    if following is None or lease_s is None:
        endpoint.leased_by, endpoint.leased_until = None, 0
    else:
        endpoint.leased_until = deps.clock() + lease_s
    session.flush()
    return following


def give_back(session: Session, endpoint_id: str, token: str) -> None:
    """End a lease, if it is still that of this turn."""
    session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.leased_by == token)
        .values(leased_by=None, leased_until=0)
    )


def payload_of(event: WebhookEvent) -> str:
    """Return the body of an event: the same text with each attempt, so that it can be compared."""
    at = datetime.fromtimestamp(event.created_at, UTC).isoformat().replace("+00:00", "Z")
    payload = {
        "type": event.type,
        "timestamp": at,
        "api_version": event.api_version,
        "data": json.loads(event.data),
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _due(deps: Deps, session: Session, endpoint: WebhookEndpoint, token: str) -> Order | None:
    """Return the delivery that has been due longest."""
    if not endpoint.enabled or endpoint.deleted_at is not None:
        return None
    query = (
        select(WebhookDelivery.id, WebhookEvent)
        .join(WebhookEvent, WebhookEvent.number == WebhookDelivery.event_number)
        .where(
            WebhookDelivery.endpoint_id == endpoint.id,
            # Spelt out, or PostgreSQL could not tell that the index of waiting ones serves.
            text("webhook_deliveries.state = 'waiting'"),
            WebhookDelivery.next_at <= deps.clock(),
        )
        .order_by(WebhookDelivery.next_at, WebhookDelivery.id)
        .limit(1)
    )
    row = session.execute(query).first()
    if row is None:
        return None
    delivery_id, event = row
    message = Message(event.id, deps.clock(), payload_of(event), signing_secrets(deps, endpoint))
    doubtful = endpoint.failing_since is not None or endpoint.slow
    return Order(delivery_id, endpoint.id, token, endpoint.url, message, doubtful)


def _store_result(deps: Deps, session: Session, order: Order, result: Result) -> None:
    delivery = session.get(
        WebhookDelivery, order.delivery_id, populate_existing=True, with_for_update=True
    )
    if delivery is None:
        # Forgotten while it was on its way.
        return
    now = deps.clock()
    delivery.attempts += 1
    delivery.tries += 1
    session.add(
        WebhookAttempt(
            delivery_id=delivery.id,
            number=delivery.attempts,
            at=order.message.timestamp,
            duration_ms=result.duration_ms,
            status=result.status,
            error=result.error,
            answer=result.answer,
        )
    )
    if not result.error:
        delivery.state, delivery.done_at = DELIVERED, now
    elif delivery.state == WAITING:
        wait_s = _wait_s(delivery.tries, result.retry_after_s)
        if wait_s is None:
            delivery.state, delivery.done_at = FAILED, now
        else:
            delivery.next_at = now + wait_s


def _wait_s(tries: int, retry_after_s: int | None) -> int | None:
    """Return the seconds until the next try, rounded up; None after the last one."""
    if tries > len(BACKOFF_S):
        return None
    base_s = BACKOFF_S[tries - 1]
    asked_s = min(retry_after_s or 0, LONGEST_RETRY_AFTER_S)
    # Nothing secret: the chance only spreads what failed at one moment.
    jitter_s = int(base_s * JITTER * random.random()) + 1  # noqa: S311
    return max(base_s + jitter_s, asked_s)


def _judge(deps: Deps, session: Session, endpoint: WebhookEndpoint, result: Result) -> None:
    """Note how the endpoint is doing, and switch off one that is gone for good."""
    now = deps.clock()
    endpoint.slow = result.duration_ms >= SLOW_MS or (
        endpoint.slow and _was_slow_lately(session, endpoint.id, now)
    )
    if not result.error:
        endpoint.failing_since = None
        return
    if endpoint.failing_since is None:
        endpoint.failing_since = now
    if result.status == GONE:
        _switch_off(deps, session, endpoint, "gone")
    elif now - endpoint.failing_since >= GIVE_UP_S:
        _switch_off(deps, session, endpoint, "failing")


def _was_slow_lately(session: Session, endpoint_id: str, now: int) -> bool:
    query = (
        select(WebhookAttempt.delivery_id)
        .join(WebhookDelivery, WebhookDelivery.id == WebhookAttempt.delivery_id)
        .where(
            WebhookDelivery.endpoint_id == endpoint_id,
            WebhookAttempt.at > now - SLOW_AGE_S,
            WebhookAttempt.duration_ms >= SLOW_MS,
        )
    )
    return session.scalar(query.limit(1)) is not None


def _switch_off(deps: Deps, session: Session, endpoint: WebhookEndpoint, reason: str) -> None:
    if not endpoint.enabled:
        return
    endpoint.enabled, endpoint.disabled_reason = False, reason
    endpoint.disabled_at = deps.clock()
    note(
        deps,
        session,
        "webhook.switched_off",
        merchant_id=endpoint.merchant_id,
        subject=endpoint.id,
        reason=reason,
        url=endpoint.url,
    )
    log.warning("webhook endpoint=%s was switched off: %s", endpoint.id, reason)
