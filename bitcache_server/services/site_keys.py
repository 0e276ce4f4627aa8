"""The keys that sign a site's grants, cached so that a check needs no database."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import GrantInvalid
from bitcache_server.models.catalog import SiteKey
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.grants import GrantSigner

#: A rotated key is noticed by every process within this time.
CACHE_S = 30
#: The newest key signs; this many verify.
KEYS_VALID = 2


def signer_for(deps: Deps, session: Session, site_id: str) -> GrantSigner:
    """Return the signer of a site; raise GrantInvalid for a site that does not exist."""
    now = deps.clock()
    signer = cached_signer(deps, site_id, now)
    if signer is not None:
        return signer
    cached = deps.signers.get(site_id)
    secrets = _read_secrets(session, site_id)
    signer = cached[2] if cached and cached[1] == secrets else GrantSigner(secrets)
    deps.signers[site_id] = (now, secrets, signer)
    return signer


def secrets_for(deps: Deps, session: Session, site_id: str) -> tuple[str, ...]:
    """Return the secrets that sign and verify for a site, newest first; raise GrantInvalid."""
    signer_for(deps, session, site_id)
    return deps.signers[site_id][1]


def cached_signer(deps: Deps, site_id: str, now: int) -> GrantSigner | None:
    """Return the signer of a site when it is known and fresh, without the database."""
    cached = deps.signers.get(site_id)
    return cached[2] if cached and 0 <= now - cached[0] < CACHE_S else None


def _read_secrets(session: Session, site_id: str) -> tuple[str, ...]:
    query = (
        select(SiteKey.secret)
        .where(SiteKey.site_id == site_id)
        .order_by(SiteKey.number.desc())
        .limit(KEYS_VALID)
    )
    secrets = tuple(session.scalars(query))
    if not secrets:
        raise GrantInvalid("The grant names a site that does not exist.")
    return secrets
