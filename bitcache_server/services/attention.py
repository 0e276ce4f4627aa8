"""What a merchant should look at: read from the database alone, the worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.ledger import balances, chart
from bitcache_server.models.access import SiteContact, SiteSecret
from bitcache_server.models.catalog import Merchant, Site
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.payouts import Payout
from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.deps import Deps
from bitcache_server.services.funnels import ItemSum
from bitcache_server.services.members import EVERYBODY, OWNERS, SELLERS, Role

#: A failed payout is spoken of for so long.
FAILED_FOR_S = 14 * SECONDS_PER_DAY
#: A payout that waits longer than this.
WAITS_LONG_S = SECONDS_PER_DAY
#: An overlap of two secrets that ends sooner than this.
SOON_S = 3 * SECONDS_PER_DAY


class Matter(StrEnum):
    """What it is about."""

    RAIL_ILL = "rail_ill"
    NO_DESTINATION = "no_destination"
    PAYOUT_FAILED = "payout_failed"
    PAYOUT_WAITS = "payout_waits"
    WEBHOOK_FAILS = "webhook_fails"
    PAGE_REFUSED = "page_refused"
    NEVER_CONNECTED = "never_connected"
    OVERLAP_ENDS = "overlap_ends"
    SEEN_NOT_SOLD = "seen_not_sold"


@dataclass(frozen=True)
class Concern:
    """One thing to look at."""

    matter: Matter
    name: str
    """A rail, a site, an item, an address, an origin; what people have written."""
    path: str
    """Below the merchant's dashboard: the page that mends it; empty where none can."""
    who: frozenset[Role]
    """Who may open that page."""
    number: int = 0
    at: int = 0


def concerns(
    deps: Deps, session: Session, merchant: Merchant, unsold: Sequence[ItemSum]
) -> list[Concern]:
    """Return what a merchant should look at; ``unsold`` as ``funnels.glance`` found them."""
    return [
        *_rails(deps, session),
        *_payouts(deps, session, merchant),
        *_webhooks(session, merchant.id),
        *_sites(deps, session, merchant.id),
        *_unsold(unsold),
    ]


def _rails(deps: Deps, session: Session) -> Iterator[Concern]:
    known = {row.rail: row for row in session.scalars(select(RailStatus))}
    for name in deps.rails:
        status = known.get(name)
        well_at = status.ok_at if status else 0
        if deps.clock() - well_at > deps.settings.rail_stale_after_s:
            yield Concern(Matter.RAIL_ILL, name, "", EVERYBODY, at=well_at)


def _payouts(deps: Deps, session: Session, merchant: Merchant) -> Iterator[Concern]:
    account = chart.merchant(merchant.id)
    if not merchant.direct and merchant.payout_address is None:
        balance_msat = balances.balance(session, account)
        if balance_msat > 0:
            yield Concern(Matter.NO_DESTINATION, "", "/payouts", EVERYBODY, number=balance_msat)
    now = deps.clock()
    mine = select(func.count(), func.max(Payout.created_at)).where(Payout.owner_account == account)
    failed, newest = session.execute(
        mine.where(Payout.state == PayoutState.FAILED.value, Payout.created_at > now - FAILED_FOR_S)
    ).one()
    if failed:
        yield Concern(Matter.PAYOUT_FAILED, "", "/payouts", EVERYBODY, number=failed, at=newest)
    waits = (PayoutState.APPROVAL.value, PayoutState.WAITING.value)
    waiting, newest = session.execute(
        mine.where(Payout.state.in_(waits), Payout.created_at < now - WAITS_LONG_S)
    ).one()
    if waiting:
        yield Concern(Matter.PAYOUT_WAITS, "", "/payouts", EVERYBODY, number=waiting, at=newest)


def _webhooks(session: Session, merchant_id: str) -> Iterator[Concern]:
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.merchant_id == merchant_id,
        WebhookEndpoint.deleted_at.is_(None),
        or_(
            WebhookEndpoint.failing_since.is_not(None),
            WebhookEndpoint.disabled_reason.in_(("failing", "gone")),
        ),
    )
    for endpoint in session.scalars(query.order_by(WebhookEndpoint.created_at)):
        since = endpoint.failing_since or endpoint.disabled_at or 0
        path = f"/webhooks/{endpoint.id}"
        yield Concern(Matter.WEBHOOK_FAILS, endpoint.url, path, OWNERS, at=since)


def _sites(deps: Deps, session: Session, merchant_id: str) -> Iterator[Concern]:
    query = (
        select(Site, SiteContact, func.max(SiteSecret.valid_until))
        .outerjoin(SiteContact, SiteContact.site_id == Site.id)
        .outerjoin(SiteSecret, SiteSecret.site_id == Site.id)
        .where(Site.merchant_id == merchant_id)
        .group_by(Site.id, SiteContact.site_id)
        .order_by(Site.created_at, Site.id)
    )
    now = deps.clock()
    for site, known, until in session.execute(query):
        # Joined from outside: without a contact or an earlier secret there is none.
        contact: SiteContact | None = known
        valid_until: int | None = until
        path = f"/sites/{site.id}"
        if contact is not None and contact.refused_origin:
            origin, at = contact.refused_origin, contact.refused_at or 0
            yield Concern(Matter.PAGE_REFUSED, origin, path, OWNERS, at=at)
        if contact is None or (contact.widget_at is None and contact.server_at is None):
            yield Concern(Matter.NEVER_CONNECTED, site.name, path, OWNERS)
        if valid_until is not None and now < valid_until < now + SOON_S:
            yield Concern(Matter.OVERLAP_ENDS, site.name, path, OWNERS, at=valid_until)


def _unsold(items: Sequence[ItemSum]) -> Iterator[Concern]:
    for one in items:
        path = f"/items/{one.item_id}"
        yield Concern(Matter.SEEN_NOT_SOLD, one.title, path, SELLERS, number=one.sum.seen)
