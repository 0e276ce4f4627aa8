"""When a site was last heard of, for whoever asks whether it is connected.

Written at most once an hour for each site and kind by each process, whatever comes in: the
answer to a reader or a server must cost next to nothing, and must come when nothing can be
written.
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import StorageBusy, StorageFull, StorageUnavailable
from bitcache_server.models.access import ApiKey, SiteContact
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.services.deps import Deps

log = logging.getLogger(__name__)

Kind = Literal["server", "widget", "refused", "key"]
EVERY_S = 3_600
CACHE_SIZE = 20_000
MAX_ORIGIN_CHARS = 300


@dataclass(frozen=True)
class Contact:
    """Somebody called: a site's server, its page, a page that is none of it, or with a key."""

    kind: Kind
    subject: str
    """A site, or a key."""
    origin: str = ""


@dataclass(frozen=True)
class Heard:
    """When a site was last heard of; None is never."""

    server_at: int | None = None
    widget_at: int | None = None
    refused_at: int | None = None
    refused_origin: str | None = None


def heard_of(session: Session, site_id: str) -> Heard:
    """Return when a site was last heard of, to the hour."""
    row = session.get(SiteContact, site_id)
    if row is None:
        return Heard()
    return Heard(row.server_at, row.widget_at, row.refused_at, row.refused_origin)


def is_due(deps: Deps, contact: Contact) -> bool:
    """Say whether a contact is worth writing down, and count it as written."""
    now = deps.clock()
    known = (contact.kind, contact.subject)
    if 0 <= now - deps.contacts.get(known, -EVERY_S) < EVERY_S:
        return False
    if len(deps.contacts) >= CACHE_SIZE:
        deps.contacts.clear()
    deps.contacts[known] = now
    return True


def write_down(deps: Deps, session: Session, contact: Contact) -> None:
    """Keep a contact that is due. Opens its transaction; what cannot be written is let go."""
    try:
        with write_transaction(session):
            _write(session, contact, deps.clock())
    except (StorageBusy, StorageFull, StorageUnavailable) as error:
        log.debug("contact of %s not kept: %s", contact.subject, error.code)


def _write(session: Session, contact: Contact, now: int) -> None:
    if contact.kind == "key":
        row = update(ApiKey).where(ApiKey.id == contact.subject)
        session.execute(row.values(last_used_at=now))
        return
    values: dict[str, Any] = {f"{contact.kind}_at": now}
    if contact.kind == "refused":
        values["refused_origin"] = contact.origin[:MAX_ORIGIN_CHARS]
    insert_missing(session, SiteContact, site_id=contact.subject)
    mine = SiteContact.site_id == contact.subject
    session.execute(update(SiteContact).where(mine).values(**values))


def forget_refusal(session: Session, site_id: str) -> None:
    """Forget which page was refused: its origin has been added, or seen to."""
    if session.scalar(select(SiteContact.site_id).where(SiteContact.site_id == site_id)):
        mine = update(SiteContact).where(SiteContact.site_id == site_id)
        session.execute(mine.values(refused_at=None, refused_origin=None))
