"""Merchants and their sites. All functions run inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BadSecret, InvalidRequest, UnknownMerchant, UnknownSite
from bitcache_server.i18n import mark as _
from bitcache_server.models.access import SiteSecret
from bitcache_server.models.catalog import Merchant, Site, SiteKey, SiteOrigin
from bitcache_server.models.upsert import insert_missing
from bitcache_server.services.deps import Deps
from bitcache_server.services.origins import normalise_origin
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.secrets import (
    hash_secret,
    new_grant_secret,
    new_id,
    new_site_secret,
    secret_matches,
    site_of_secret,
)

#: How long the secret before may go on working: time enough to change it on every server.
MAX_OVERLAP_S = 30 * 86_400


@dataclass(frozen=True)
class NewSite:
    """A site, the secret that is shown only now, and until when the one before still works."""

    site: Site
    secret: str
    old_until: int | None = None


def add_merchant(deps: Deps, session: Session, name: str, descriptor: str | None) -> Merchant:
    """Add a merchant; with a descriptor or xpub they are paid directly (BIP 380, BIP 32)."""
    if descriptor is not None:
        descriptor = deps.rail("onchain").check_account(descriptor)
    merchant = Merchant(
        id=new_id("me"),
        name=check_name(name, _("The merchant's name")),
        descriptor=descriptor,
        created_at=deps.clock(),
    )
    session.add(merchant)
    session.flush()
    return merchant


def add_site(
    deps: Deps, session: Session, merchant_id: str, name: str, origins: Sequence[str]
) -> NewSite:
    """Add a site of a merchant with its allowed origins; the secret is returned once."""
    if session.get(Merchant, merchant_id) is None:
        raise UnknownMerchant(f"There is no merchant {merchant_id[:64]!r}.")
    if not origins:
        raise InvalidRequest("Give at least one origin, such as https://www.example.org")
    site_id = new_id("st")
    secret = new_site_secret(site_id)
    now = deps.clock()
    site = Site(
        id=site_id,
        merchant_id=merchant_id,
        name=check_name(name, _("The site's name")),
        secret_hash=hash_secret(secret),
        created_at=now,
    )
    session.add(site)
    session.flush()
    for origin in sorted({normalise_origin(text) for text in origins}):
        session.add(SiteOrigin(site_id=site_id, origin=origin))
    session.add(SiteKey(site_id=site_id, number=1, secret=new_grant_secret(), created_at=now))
    session.flush()
    return NewSite(site, secret)


def rotate_site_secret(deps: Deps, session: Session, site_id: str, overlap_s: int = 0) -> NewSite:
    """Replace the site's secret and add a newer grant key; older grants stay valid once.

    The secret before works for ``overlap_s`` more seconds, and one that was in its overlap
    not longer than that: with 0 only the new one works. Raises UnknownSite, InvalidRequest.
    """
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise InvalidRequest("The old secret can work for up to 30 more days.")
    site = get_site(session, site_id)
    now = deps.clock()
    until = now + overlap_s
    _end_secrets(session, site, until, now)
    secret = new_site_secret(site.id)
    site.secret_hash = hash_secret(secret)
    newest = session.scalar(select(func.max(SiteKey.number)).where(SiteKey.site_id == site.id))
    session.add(
        SiteKey(
            site_id=site.id,
            number=(newest or 0) + 1,
            secret=new_grant_secret(),
            created_at=now,
        )
    )
    session.flush()
    return NewSite(site, secret, until if overlap_s else None)


def _end_secrets(session: Session, site: Site, until: int, now: int) -> None:
    """Let the site's secrets of today end, and forget those that have ended."""
    mine = SiteSecret.site_id == site.id
    if until > now:
        insert_missing(
            session,
            SiteSecret,
            site_id=site.id,
            secret_hash=site.secret_hash,
            valid_until=until,
        )
        session.execute(delete(SiteSecret).where(mine, SiteSecret.valid_until <= now))
        sooner = update(SiteSecret).where(mine, SiteSecret.valid_until > until)
        session.execute(sooner.values(valid_until=until))
    else:
        session.execute(delete(SiteSecret).where(mine))


def secrets_ending(session: Session, site_id: str, now: int) -> Sequence[int]:
    """Return until when earlier secrets of the site work, the last first."""
    query = (
        select(SiteSecret.valid_until)
        .where(SiteSecret.site_id == site_id, SiteSecret.valid_until > now)
        .order_by(SiteSecret.valid_until.desc())
    )
    return session.scalars(query).all()


def site_of_merchant(session: Session, merchant_id: str, site_id: str) -> Site:
    """Return a site of this merchant; raise UnknownSite, also for a site of others."""
    query = select(Site).where(Site.id == site_id, Site.merchant_id == merchant_id)
    site = session.scalar(query)
    if site is None:
        raise UnknownSite(f"There is no site {site_id[:64]!r}.")
    return site


def get_site(session: Session, site_id: str) -> Site:
    """Return a site; raise UnknownSite."""
    site = session.get(Site, site_id)
    if site is None:
        raise UnknownSite(f"There is no site {site_id[:64]!r}.")
    return site


def authenticate_site(session: Session, secret: str, now: int) -> Site:
    """Return the site that the secret belongs to, also one in its overlap; raise BadSecret."""
    site_id = site_of_secret(secret)
    site = session.get(Site, site_id) if site_id else None
    if site is None or not (
        secret_matches(secret, site.secret_hash) or _in_overlap(session, site, secret, now)
    ):
        raise BadSecret(
            "This secret belongs to no site. `bitcache site rotate-secret` makes a new one."
        )
    return site


def _in_overlap(session: Session, site: Site, secret: str, now: int) -> bool:
    until = session.scalar(
        select(SiteSecret.valid_until).where(
            SiteSecret.site_id == site.id, SiteSecret.secret_hash == hash_secret(secret)
        )
    )
    return until is not None and now < until
