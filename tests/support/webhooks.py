"""A shop whose merchant listens: endpoints, events and deliveries for tests."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from bitcache_server.extensions import db
from bitcache_server.models.session import write_transaction
from bitcache_server.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from bitcache_server.services.deliver_webhooks import deliver_due
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.webhook_endpoints import By, NewEndpoint, add_endpoint
from bitcache_server.services.webhook_events import emit
from tests.support.world import World, make_settings, make_world


@contextmanager
def listening_world(folder: Path, url: str, **settings: object) -> Iterator[World]:
    """Give a stocked server that sends webhooks to loopback, at the present time.

    The specification's library looks at the real clock when it checks a timestamp.
    """
    values = {"webhook_allow_local": True, "webhook_timeout_s": 5, **settings}
    made = make_world(make_settings(folder, url, **values))
    made.clock.now = int(time.time())
    with made.app.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


def listen(world: World, url: str, *event_types: str, merchant_id: str = "") -> NewEndpoint:
    """Add an endpoint of the site's; without types it wants everything."""
    by = By(merchant_id) if merchant_id else By(world.merchant_id, site_id=world.site_id)
    with write_transaction(world.session):
        new = add_endpoint(world.deps, world.session, by, url, "", event_types or ["*"])
        world.session.expunge(new.endpoint)
    return new


def happen(world: World, count: int = 1, merchant_id: str = "") -> None:
    """Let something happen that everybody is told of."""
    for number in range(count):
        with write_transaction(world.session):
            data = {"id": f"we_{number}", "message": str(number)}
            emit(world.deps, world.session, merchant_id or world.merchant_id, "test", data)


def deliver(world: World) -> None:
    """Deliver all that is due now."""
    deliver_due(world.deps, world.session)


def deliveries(world: World, endpoint_id: str = "") -> Sequence[WebhookDelivery]:
    """Return the deliveries, oldest first."""
    world.session.rollback()
    query = select(WebhookDelivery).order_by(WebhookDelivery.id)
    if endpoint_id:
        query = query.where(WebhookDelivery.endpoint_id == endpoint_id)
    found = world.session.scalars(query.execution_options(populate_existing=True)).all()
    world.session.expunge_all()
    world.session.rollback()
    return found


def states(world: World, endpoint_id: str = "") -> list[str]:
    """Return the states of the deliveries, oldest first."""
    return [delivery.state for delivery in deliveries(world, endpoint_id)]


def attempts(world: World) -> list[tuple[int | None, str]]:
    """Return status and error of every attempt, in order."""
    query = select(WebhookAttempt).order_by(WebhookAttempt.delivery_id, WebhookAttempt.number)
    found = [(one.status, one.error) for one in world.session.scalars(query)]
    world.session.rollback()
    return found


def stored(world: World, endpoint_id: str) -> WebhookEndpoint:
    """Return the endpoint as it is now, apart from the session."""
    world.session.rollback()
    found = world.session.get_one(WebhookEndpoint, endpoint_id, populate_existing=True)
    world.session.expunge(found)
    world.session.rollback()
    return found


def rows(world: World, model: type) -> int:
    """Return how many rows a table has."""
    world.session.rollback()
    count = world.session.scalar(select(func.count()).select_from(model)) or 0
    world.session.rollback()
    return count


def another_secret(world: World) -> str:
    """Return the secret of a site of another merchant."""
    with write_transaction(world.session):
        eve = add_merchant(world.deps, world.session, "Eve", None)
        return add_site(world.deps, world.session, eve.id, "Eve's", ["https://eve.example"]).secret
