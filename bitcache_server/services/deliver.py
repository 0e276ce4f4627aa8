"""Hand out what a grant opens: the article's text, a link to the file, the file."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    BitcacheError,
    ContentElsewhere,
    GrantMissing,
    GrantRevoked,
    InvalidRequest,
    WrongKind,
)
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.ledger import Grant
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import get_item, origin_of
from bitcache_server.services.origins import origins_of
from bitcache_server.services.site_keys import signer_for
from bitcache_server.storage.base import StoredFile
from bitcache_server.tokens.downloads import DownloadClaims
from bitcache_server.tokens.grants import GrantClaims, claimed_site
from bitcache_server.tokens.holders import HOLDER_PREFIX, buyer_of_holder

#: A revoked grant of a wallet is noticed by every process within this time.
ALIVE_S = 5
MAX_CACHED_GRANTS = 100_000


@dataclass(frozen=True)
class Link:
    """A download token and when it ends."""

    token: str
    file_name: str
    expires_at: int


def check_grant(deps: Deps, session: Session, token: str | None) -> GrantClaims:
    """Return what a grant says.

    One that an invoice holds is checked offline: no database once the key is cached. One
    that a wallet holds may have been undone a moment after it was given out, so it is
    looked up, at most every ``ALIVE_S`` seconds. Raises GrantMissing, GrantInvalid,
    GrantExpired, GrantRevoked.
    """
    if not token:
        raise GrantMissing("Send the grant as `Authorization: Bearer …`.")
    site_id, now = claimed_site(token), deps.clock()
    claims = signer_for(deps, session, site_id).check(token, site=site_id, now=now)
    if not may_be_alive(deps, claims, now):
        _check_alive(deps, session, site_id, claims)
        if len(deps.alive_grants) >= MAX_CACHED_GRANTS:
            deps.alive_grants.clear()
        deps.alive_grants[_key(claims)] = now
    return claims


def may_be_alive(deps: Deps, claims: GrantClaims, now: int) -> bool:
    """Return whether a grant need not be looked up now. Asks no database."""
    if not claims.holder.startswith(HOLDER_PREFIX):
        return True
    seen_at = deps.alive_grants.get(_key(claims))
    return seen_at is not None and 0 <= now - seen_at < ALIVE_S


def _key(claims: GrantClaims) -> tuple[str, str, int]:
    return claims.holder, claims.item, claims.revision


@dataclass(frozen=True)
class Opened:
    """An item and the grant that opens it."""

    item: Item
    claims: GrantClaims


def open_item(deps: Deps, session: Session, item_id: str, token: str | None) -> Opened:
    """Return an item that the grant opens; revocation is looked up here."""
    item = get_item(session, item_id)
    signer = signer_for(deps, session, item.site_id)
    claims = signer.check(token, site=item.site_id, item=item.id, now=deps.clock())
    _check_alive(deps, session, item.site_id, claims)
    return Opened(item, claims)


def _check_alive(
    deps: Deps, session: Session, site_id: str, claims: GrantClaims | DownloadClaims
) -> None:
    merchant_id = session.get_one(Site, site_id).merchant_id
    secret_key = deps.settings.secret_key.get_secret_value()
    buyer_id = buyer_of_holder(secret_key, merchant_id, claims.holder)
    grant = session.get(Grant, (buyer_id, claims.item, claims.revision))
    if grant is None or grant.revoked_at is not None:
        raise GrantRevoked("The payment behind this grant was taken back. Claim it again.")


def article_of(item: Item) -> str:
    """Return the locked part of an article; raise WrongKind for a file, ContentElsewhere."""
    if item.content_html is None:
        raise _not_here(item, "This item is a file: ask for a download link instead.")
    return item.content_html


def _not_here(item: Item, words: str) -> BitcacheError:
    return WrongKind(words) if item.open_url is None else elsewhere(item)


def elsewhere(item: Item) -> ContentElsewhere:
    """Return the error that names where the site opens what it holds itself."""
    return ContentElsewhere(f"The grant opens this at {item.open_url}, not here.")


def hand_over(session: Session, item: Item) -> tuple[str, str] | None:
    """Return where a reader's browser may take the grant of an item, and its origin.

    None once the site gave that origin up: who has it now gets no grants.
    """
    if item.open_url is None:
        return None
    try:
        origin = origin_of(item.open_url)
    except InvalidRequest:
        return None
    return (item.open_url, origin) if origin in origins_of(session, item.site_id) else None


def download_link(deps: Deps, session: Session, opened: Opened) -> Link:
    """Return a short-lived link to the file of an item, bound to that file and holder."""
    item, claims = opened.item, opened.claims
    stored = file_of(deps, item)
    expires_at = deps.clock() + deps.settings.download_link_lifetime_s
    download = DownloadClaims(
        site=item.site_id,
        item=item.id,
        holder=claims.holder,
        revision=claims.revision,
        expires_at=expires_at,
    )
    token = signer_for(deps, session, item.site_id).issue_download(download)
    return Link(token, stored.name, expires_at)


def file_of(deps: Deps, item: Item) -> StoredFile:
    """Return the stored file of an item; raise WrongKind for an article, and FileMissing.

    Raises ContentElsewhere for what the site holds itself.
    """
    if item.file_path is None:
        raise _not_here(item, "This item is an article: fetch its content instead.")
    return deps.files.describe(item.file_path)


def file_for_link(deps: Deps, session: Session, item_id: str, token: str) -> StoredFile:
    """Return the file that a download link opens; raise LinkInvalid or LinkExpired."""
    item = get_item(session, item_id)
    signer = signer_for(deps, session, item.site_id)
    claims = signer.check_download(token, site=item.site_id, item=item.id, now=deps.clock())
    _check_alive(deps, session, item.site_id, claims)
    return file_of(deps, item)
