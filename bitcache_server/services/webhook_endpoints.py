"""A merchant's webhook endpoints: where events go, which ones, and the secrets that sign them.

Those that change something run inside the caller's write transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server import netguard
from bitcache_server.domain.errors import InvalidRequest, UnknownEndpoint, WebhookUrlRefused
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Merchant, Site
from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.texts import MAX_NAME_CHARS, check_name
from bitcache_server.services.webhook_events import ALL_TYPES
from bitcache_server.services.webhook_secrets import OVERLAP_S, new_secret
from bitcache_server.services.webhook_types import EVENT_TYPES
from bitcache_server.tokens.secrets import new_id

MAX_ENDPOINTS = 16
#: Deleted ones count: each new one is served at once, however slow it will be.
MAX_MADE_PER_HOUR = 60
PAUSED = "paused"


@dataclass(frozen=True)
class By:
    """Who changes something: a member's account, or a site's server.

    A server sees and changes what it has added itself, and no other site's or person's: the
    secret of an endpoint makes whoever has it believed at its address.
    """

    merchant_id: str
    account_id: str | None = None
    site_id: str | None = None


def by_site(site: Site) -> By:
    """Return the server of a site as who changes something."""
    return By(site.merchant_id, site_id=site.id)


@dataclass(frozen=True)
class NewEndpoint:
    """An endpoint and its secret, which is shown only now."""

    endpoint: WebhookEndpoint
    secret: str


@dataclass(frozen=True)
class Change:
    """What is to be another way; None leaves it."""

    url: str | None = None
    description: str | None = None
    event_types: Sequence[str] | None = None
    enabled: bool | None = None


def add_endpoint(
    deps: Deps, session: Session, by: By, url: str, description: str, event_types: Sequence[str]
) -> NewEndpoint:
    """Add an endpoint; its secret is returned this once.

    Raises WebhookUrlRefused, InvalidRequest.
    """
    # Of two calls at once the second waits here, so that the limit holds.
    session.execute(select(Merchant.id).where(Merchant.id == by.merchant_id).with_for_update())
    if _count(session, by.merchant_id) >= MAX_ENDPOINTS:
        raise InvalidRequest(
            _("A merchant has %(number)s endpoints at most."), number=MAX_ENDPOINTS
        )
    if _count_made_since(session, by.merchant_id, deps.clock() - 3_600) >= MAX_MADE_PER_HOUR:
        raise InvalidRequest(_("Many endpoints were added within an hour. Try again later."))
    endpoint_id = new_id("we")
    secret, sealed = new_secret(deps, endpoint_id)
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        merchant_id=by.merchant_id,
        site_id=by.site_id,
        url=_url(deps, url),
        description=_description(description),
        event_types=_types(event_types),
        secret_sealed=sealed,
        enabled=True,
        disabled_reason="",
        slow=False,
        served_at=0,
        turns=0,
        leased_until=0,
        created_at=deps.clock(),
    )
    session.add(endpoint)
    session.flush()
    _note(deps, session, by, endpoint, "webhook.added", events=endpoint.event_types)
    return NewEndpoint(endpoint, secret)


def change_endpoint(
    deps: Deps, session: Session, by: By, endpoint_id: str, change: Change
) -> WebhookEndpoint:
    """Change an endpoint. Switched on again, it goes on with what waits for it.

    Raises UnknownEndpoint, WebhookUrlRefused, InvalidRequest.
    """
    endpoint = _locked(session, by, endpoint_id)
    before = {"url": endpoint.url, "events": endpoint.event_types, "enabled": endpoint.enabled}
    if change.url is not None:
        endpoint.url = _url(deps, change.url)
    if change.description is not None:
        endpoint.description = _description(change.description)
    if change.event_types is not None:
        endpoint.event_types = _types(change.event_types)
    if change.enabled is not None and change.enabled != endpoint.enabled:
        _switch(deps, endpoint, change.enabled)
    session.flush()
    after = {"url": endpoint.url, "events": endpoint.event_types, "enabled": endpoint.enabled}
    _note(deps, session, by, endpoint, "webhook.changed", before=before, after=after)
    return endpoint


def delete_endpoint(deps: Deps, session: Session, by: By, endpoint_id: str) -> None:
    """Delete an endpoint and its secrets; what was delivered to it is forgotten in time.

    Raises UnknownEndpoint.
    """
    endpoint = _locked(session, by, endpoint_id)
    endpoint.deleted_at, endpoint.enabled = deps.clock(), False
    endpoint.secret_sealed, endpoint.old_secret_sealed = "", None
    session.flush()
    _note(deps, session, by, endpoint, "webhook.deleted")


def rotate_secret(deps: Deps, session: Session, by: By, endpoint_id: str) -> NewEndpoint:
    """Give an endpoint a new secret; the one before signs as well for a day.

    Raises UnknownEndpoint.
    """
    endpoint = _locked(session, by, endpoint_id)
    secret, sealed = new_secret(deps, endpoint.id)
    endpoint.old_secret_sealed = endpoint.secret_sealed
    endpoint.old_secret_until = deps.clock() + OVERLAP_S
    endpoint.secret_sealed = sealed
    session.flush()
    _note(deps, session, by, endpoint, "webhook.secret_rotated")
    return NewEndpoint(endpoint, secret)


def list_endpoints(
    session: Session, merchant_id: str, site_id: str | None = None
) -> Sequence[WebhookEndpoint]:
    """Return the endpoints of a merchant, or those that a site has added, oldest first."""
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.merchant_id == merchant_id, WebhookEndpoint.deleted_at.is_(None)
    )
    if site_id is not None:
        query = query.where(WebhookEndpoint.site_id == site_id)
    return session.scalars(query.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)).all()


def get_endpoint(session: Session, merchant_id: str, endpoint_id: str) -> WebhookEndpoint:
    """Return an endpoint of this merchant; raise UnknownEndpoint for all others alike."""
    endpoint = session.scalar(
        select(WebhookEndpoint).where(
            WebhookEndpoint.id == endpoint_id,
            WebhookEndpoint.merchant_id == merchant_id,
            WebhookEndpoint.deleted_at.is_(None),
        )
    )
    if endpoint is None:
        raise UnknownEndpoint(f"There is no webhook endpoint {endpoint_id[:64]!r}.")
    return endpoint


def endpoint_for(session: Session, by: By, endpoint_id: str) -> WebhookEndpoint:
    """Return an endpoint that they may change; raise UnknownEndpoint for all others alike."""
    endpoint = get_endpoint(session, by.merchant_id, endpoint_id)
    if by.site_id is not None and endpoint.site_id != by.site_id:
        raise UnknownEndpoint(f"There is no webhook endpoint {endpoint_id[:64]!r}.")
    return endpoint


def _locked(session: Session, by: By, endpoint_id: str) -> WebhookEndpoint:
    endpoint = endpoint_for(session, by, endpoint_id)
    session.refresh(endpoint, with_for_update=True)
    return endpoint


def _switch(deps: Deps, endpoint: WebhookEndpoint, enabled: bool) -> None:
    endpoint.enabled = enabled
    endpoint.disabled_reason = "" if enabled else PAUSED
    endpoint.disabled_at = None if enabled else deps.clock()
    # It starts anew: five days of failures count from now.
    endpoint.failing_since = None


def _count(session: Session, merchant_id: str) -> int:
    query = select(func.count()).where(
        WebhookEndpoint.merchant_id == merchant_id, WebhookEndpoint.deleted_at.is_(None)
    )
    return session.scalar(query) or 0


def _count_made_since(session: Session, merchant_id: str, since: int) -> int:
    query = select(func.count()).where(
        WebhookEndpoint.merchant_id == merchant_id, WebhookEndpoint.created_at > since
    )
    return session.scalar(query) or 0


def _url(deps: Deps, text: str) -> str:
    """Return an address that can be sent to; its name is looked up at each delivery."""
    allow_local = deps.settings.webhook_allow_local
    try:
        url = netguard.checked_url(check_name(text, _("The address"), 2_000), allow_local)
        if literal := netguard.literal_address(url.host):
            netguard.check_addresses(url.host, [literal], allow_local)
        elif netguard.is_loopback_name(url.host) and not allow_local:
            raise netguard.NotAllowed(f"{url.host} is an internal address.")
    except netguard.NotAllowed as error:
        raise WebhookUrlRefused(str(error)) from None
    return str(url)


def _description(text: str) -> str:
    return check_name(text, _("The description"), MAX_NAME_CHARS) if text.strip() else ""


def _types(names: Sequence[str]) -> str:
    """Return event types as they are stored; raise InvalidRequest for unknown ones and none."""
    if ALL_TYPES in names:
        return ALL_TYPES
    for name in names:
        if name not in EVENT_TYPES:
            raise InvalidRequest(f"There is no event type {name[:40]!r}.")
    if not names:
        raise InvalidRequest(_("Choose at least one event type."))
    return " ".join(name for name in EVENT_TYPES if name in names)


def _note(
    deps: Deps, session: Session, by: By, endpoint: WebhookEndpoint, action: str, **detail: object
) -> None:
    note(
        deps,
        session,
        action,
        merchant_id=by.merchant_id,
        account_id=by.account_id,
        subject=endpoint.id,
        **{"url": endpoint.url, **detail},
    )
