"""What an owner changes about a site, each with its line in the audit trail.

All functions run inside the caller's transaction and raise UnknownSite for a site of others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import ORDER_KIND, Item, Site
from bitcache_server.services.audit_trail import note
from bitcache_server.services.catalog import change_origins
from bitcache_server.services.deps import Deps
from bitcache_server.services.members import Member
from bitcache_server.services.merchants import (
    NewSite,
    add_site,
    rotate_site_secret,
    site_of_merchant,
)
from bitcache_server.services.origins import origins_of
from bitcache_server.services.site_contacts import Heard, forget_refusal, heard_of
from bitcache_server.services.texts import check_name

HOUR_S = 3_600
#: How long an old secret may go on working, as the page offers it.
OVERLAPS_S = (0, HOUR_S, 24 * HOUR_S, 7 * 24 * HOUR_S)
MAX_ORIGINS = 100


@dataclass(frozen=True)
class SiteLine:
    """A site as the list shows it."""

    site: Site
    origins: list[str]
    heard: Heard


def open_site(
    deps: Deps, session: Session, member: Member, name: str, origins: Sequence[str]
) -> NewSite:
    """Add a site of the merchant; its secret is returned this once."""
    new = add_site(deps, session, member.merchant_id, name, origins)
    _note(
        deps, session, member, "site.added", new.site.id, name=new.site.name, origins=list(origins)
    )
    return new


def rename_site(deps: Deps, session: Session, member: Member, site_id: str, name: str) -> None:
    """Give a site another name."""
    site = site_of_merchant(session, member.merchant_id, site_id)
    before, site.name = site.name, check_name(name, _("The site's name"))
    session.flush()
    if site.name != before:
        _note(deps, session, member, "site.renamed", site_id, before=before, after=site.name)


def allow_origin(deps: Deps, session: Session, member: Member, site_id: str, origin: str) -> None:
    """Let pages of one more origin show the site's walls; raise InvalidOrigin."""
    site = site_of_merchant(session, member.merchant_id, site_id)
    if len(origins_of(session, site.id)) >= MAX_ORIGINS:
        raise InvalidRequest(_("A site has at most %(number)s origins."), number=MAX_ORIGINS)
    change_origins(session, site.id, [origin], [])
    forget_refusal(session, site.id)
    _note(deps, session, member, "site.origin_added", site_id, origin=origin)


def forbid_origin(deps: Deps, session: Session, member: Member, site_id: str, origin: str) -> None:
    """Let pages of an origin show the site's walls no more; raise InvalidRequest."""
    site = site_of_merchant(session, member.merchant_id, site_id)
    change_origins(session, site.id, [], [origin])
    _note(deps, session, member, "site.origin_removed", site_id, origin=origin)


def rotate_secret(
    deps: Deps, session: Session, member: Member, site_id: str, overlap_s: int
) -> NewSite:
    """Replace a site's secret; the one before works for one of the times above."""
    site = site_of_merchant(session, member.merchant_id, site_id)
    if overlap_s not in OVERLAPS_S:
        raise InvalidRequest(_("Choose how long the old secret still works."))
    new = rotate_site_secret(deps, session, site.id, overlap_s)
    _note(deps, session, member, "site.secret_rotated", site_id, overlap_s=overlap_s)
    return new


def site_lines(session: Session, sites: Sequence[Site]) -> list[SiteLine]:
    """Return sites with their origins and when they were last heard of. Only reads."""
    return [
        SiteLine(site, sorted(origins_of(session, site.id)), heard_of(session, site.id))
        for site in sites
    ]


def sample_item(session: Session, site_id: str) -> Item | None:
    """Return the newest item that the site sells, to show its wall; None without one."""
    query = (
        select(Item)
        .where(Item.site_id == site_id, Item.archived_at.is_(None), Item.kind != ORDER_KIND)
        .order_by(Item.created_at.desc(), Item.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def _note(
    deps: Deps, session: Session, member: Member, action: str, site_id: str, **detail: object
) -> None:
    note(
        deps,
        session,
        action,
        merchant_id=member.merchant_id,
        account_id=member.account_id,
        subject=site_id,
        **detail,
    )
