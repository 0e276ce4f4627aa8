"""Merchants and their sites. All functions run inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BadSecret, InvalidRequest, UnknownMerchant, UnknownSite
from bitcache_server.models.catalog import Merchant, Site, SiteKey, SiteOrigin
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


@dataclass(frozen=True)
class NewSite:
    """A site and the secret that is shown only now."""

    site: Site
    secret: str


def add_merchant(deps: Deps, session: Session, name: str, descriptor: str | None) -> Merchant:
    """Add a merchant; with a descriptor or xpub they are paid directly (BIP 380, BIP 32)."""
    if descriptor is not None:
        descriptor = deps.rail("onchain").check_account(descriptor)
    merchant = Merchant(
        id=new_id("me"),
        name=check_name(name, "The merchant's name"),
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
        name=check_name(name, "The site's name"),
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


def rotate_site_secret(deps: Deps, session: Session, site_id: str) -> NewSite:
    """Replace the site's secret and add a newer grant key; older grants stay valid once."""
    site = get_site(session, site_id)
    secret = new_site_secret(site.id)
    site.secret_hash = hash_secret(secret)
    newest = session.scalar(select(func.max(SiteKey.number)).where(SiteKey.site_id == site.id))
    session.add(
        SiteKey(
            site_id=site.id,
            number=(newest or 0) + 1,
            secret=new_grant_secret(),
            created_at=deps.clock(),
        )
    )
    session.flush()
    return NewSite(site, secret)


def get_site(session: Session, site_id: str) -> Site:
    """Return a site; raise UnknownSite."""
    site = session.get(Site, site_id)
    if site is None:
        raise UnknownSite(f"There is no site {site_id[:64]!r}.")
    return site


def authenticate_site(session: Session, secret: str) -> Site:
    """Return the site that the secret belongs to; raise BadSecret."""
    site_id = site_of_secret(secret)
    site = session.get(Site, site_id) if site_id else None
    if site is None or not secret_matches(secret, site.secret_hash):
        raise BadSecret(
            "This secret belongs to no site. `bitcache site rotate-secret` makes a new one."
        )
    return site
