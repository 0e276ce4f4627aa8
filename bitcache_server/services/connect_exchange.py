"""The code that a merchant gave becomes a site's secret, once (RFC 6749 §4.1.3)."""

import secrets
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownSite
from bitcache_server.models.access import ConnectCode, SiteSecret
from bitcache_server.models.catalog import Site, SiteKey
from bitcache_server.models.session import write_transaction
from bitcache_server.services.audit_trail import note
from bitcache_server.services.connect import may_still
from bitcache_server.services.deps import Deps
from bitcache_server.services.merchants import NewSite, add_site, rotate_site_secret
from bitcache_server.services.site_keys import KEYS_VALID
from bitcache_server.tokens.secrets import hash_secret
from bitcache_server.tokens.verifier import matches

#: What the site had before works on for a day: another server of it may still use it.
OVERLAP_S = 86_400


@dataclass(frozen=True)
class Given:
    """What the software gets."""

    site_id: str
    site_secret: str
    merchant_id: str
    grant_keys: tuple[str, ...]
    """What signs the site's grants, the newest first: its server can check them alone."""


def exchange(
    deps: Deps, session: Session, code: str, verifier: str, redirect_uri: str
) -> Given | None:
    """Return what the code gives; None where it is wrong, over, used or another's.

    Opens its transaction. A second use of a code also takes back what the first has given
    (RFC 6749 §4.1.2): one of the two was a thief.
    """
    with write_transaction(session):
        query = select(ConnectCode).where(ConnectCode.code_hash == hash_secret(code))
        row = session.scalar(query.with_for_update())
        if row is None:
            return None
        if row.used_at is not None:
            _take_back(deps, session, row)
            return None
        if not _is_good(deps, session, row, verifier, redirect_uri):
            return None
        return _give(deps, session, row)


def _is_good(
    deps: Deps, session: Session, row: ConnectCode, verifier: str, redirect_uri: str
) -> bool:
    return (
        row.created_at <= deps.clock() < row.expires_at
        and row.redirect_uri == redirect_uri
        and matches(verifier, row.challenge)
        and may_still(session, row)
    )


def _give(deps: Deps, session: Session, row: ConnectCode) -> Given | None:
    try:
        new = _site(deps, session, row)
    except UnknownSite:
        return None
    row.used_at = deps.clock()
    row.site_id, row.given_hash = new.site.id, hash_secret(new.secret)
    _note(deps, session, row, "site.connected")
    keys = (
        select(SiteKey.secret)
        .where(SiteKey.site_id == new.site.id)
        .order_by(SiteKey.number.desc())
        .limit(KEYS_VALID)
    )
    found = tuple(session.scalars(keys))
    return Given(new.site.id, new.secret, row.merchant_id, found)


def _site(deps: Deps, session: Session, row: ConnectCode) -> NewSite:
    if row.site_id is None:
        return add_site(deps, session, row.merchant_id, row.site_name or "", [row.origin])
    return rotate_site_secret(deps, session, row.site_id, OVERLAP_S)


def _take_back(deps: Deps, session: Session, row: ConnectCode) -> None:
    if row.given_hash is None or row.site_id is None:
        return
    site = session.get_one(Site, row.site_id)
    if site.secret_hash == row.given_hash:
        # Of no secret that anybody knows, until somebody makes a new one.
        site.secret_hash = hash_secret(secrets.token_urlsafe())
    mine = (SiteSecret.site_id == row.site_id, SiteSecret.secret_hash == row.given_hash)
    session.execute(delete(SiteSecret).where(*mine))
    row.given_hash = None
    _note(deps, session, row, "site.connection_withdrawn")


def _note(deps: Deps, session: Session, row: ConnectCode, action: str) -> None:
    note(
        deps,
        session,
        action,
        merchant_id=row.merchant_id,
        account_id=row.account_id,
        subject=row.site_id or "",
        client=row.client_name,
        origin=row.origin,
    )
