"""The browsers that are signed in, to a wallet or to an account: both work alike.

A browser holds a cookie ``<owner's id>.<session id>.<secret>``; of the secret only its
SHA-256 is stored. Signing a browser out ends its session here, so that a copy of the
cookie is worth nothing from then on. So does the person's proof of who they are: the
browser gets a new secret with the answer, and a copy of the old cookie is not confirmed
along with its owner.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from bitcache_server.domain.errors import BitcacheError, InvalidRequest
from bitcache_server.models.accounts import Account, AccountSession
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.wallets import WalletSession
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.secrets import hash_secret, new_id, secret_matches

SECRET_BYTES = 32
#: How exactly the list of devices knows when each was seen: not a write for every page.
SEEN_EVERY_S = 3_600
MAX_LABEL_CHARS = 200


@dataclass(frozen=True)
class Words:
    """What the mechanisms that both share say to their owners."""

    too_many_passkeys: str
    other_passkey: str
    opens_nothing: str
    """A Lightning wallet that no owner has added."""
    other_key: str
    key_in_use: str


@dataclass(frozen=True)
class Realm:
    """What browsers are signed in to: the wallets of readers, or the accounts of people."""

    name: str
    prefix: str
    """Of the owners' ids: what is kept for one realm never opens the other."""
    session_prefix: str
    owners: type[Wallet] | type[Account]
    sessions: type[WalletSession] | type[AccountSession]
    owner_column: str
    """The column of ``sessions`` that names the owner."""
    cookie: re.Pattern[str]
    session_age_s: int
    """A browser that was not seen for so long is signed out; its cookie ends then as well."""
    confirmation_age_s: int
    """How long a proof counts for what moves money or opens new doors."""
    user_verification: bool
    """Passkeys must ask for a finger, a face or a PIN: they stand for two factors."""
    sign_in_required: type[BitcacheError]
    confirmation_required: type[BitcacheError]
    unknown: type[BitcacheError]
    passkey_name: Callable[[Session, str], str]
    """What the browser's list of passkeys shows for an owner."""
    needs_no_proof: Callable[[Session, str], bool]
    """Nothing secures the owner, so there is nothing to show."""
    require_way_in: Callable[[Session, str], None]
    """Raise InvalidRequest where an owner must not lose the last thing that signs in."""
    note: Callable[[Deps, Session, str, str], None]
    """Write down, where that is done, what happened to an owner: its id, and what."""
    words: Words

    def owns(self, owner_id: str) -> bool:
        """Say whether an id is one of this realm's."""
        return owner_id.startswith(f"{self.prefix}_")


class Browser(Protocol):
    """Who asks: a browser that is signed in."""

    @property
    def owner_id(self) -> str:
        """The wallet or the account."""

    @property
    def session_id(self) -> str:
        """Which of the owner's browsers it is."""

    @property
    def secret_hash(self) -> str:
        """Of the secret in its cookie: who holds an older one is not confirmed with it."""

    @property
    def realm(self) -> Realm:
        """What it is signed in to."""


@dataclass(frozen=True)
class Device:
    """A signed-in browser, for its owner's list."""

    session_id: str
    label: str
    created_at: int
    seen_at: int


def open_browser(
    deps: Deps, session: Session, realm: Realm, owner_id: str, label: str, *, verified: bool
) -> str:
    """Sign a browser in and return its cookie's value. Raises the realm's ``unknown``, if closed.

    ``verified`` says that the person has just shown who they are.
    """
    query = select(realm.owners.id).where(
        realm.owners.id == owner_id, realm.owners.closed_at.is_(None)
    )
    if session.scalar(query) is None:
        raise realm.unknown()
    now = deps.clock()
    secret = secrets.token_urlsafe(SECRET_BYTES)
    row = realm.sessions(
        **{realm.owner_column: owner_id},
        id=new_id(realm.session_prefix),
        secret_hash=hash_secret(secret),
        label=label[:MAX_LABEL_CHARS],
        created_at=now,
        seen_at=now,
        verified_at=now if verified else None,
    )
    session.add(row)
    session.flush()
    return f"{owner_id}.{row.id}.{secret}"


def find_session(
    deps: Deps, session: Session, realm: Realm, cookie: str | None, *columns: Any
) -> Any:
    """Return what is stored of a cookie's session, and ``columns`` of its owner.

    The row has ``owner_id`` and ``session_id`` as well. None where the cookie is wrong, signed
    out, too old, or of an owner that is closed. Only reads, and needs no transaction.
    """
    match = realm.cookie.fullmatch(cookie or "")
    if match is None:
        return None
    owner_id, session_id, secret = match.groups()
    rows, owner = realm.sessions, _owner(realm)
    # Columns, not the row: a session may remember a row from before it was revoked.
    query = (
        select(
            owner.label("owner_id"),
            rows.id.label("session_id"),
            rows.secret_hash,
            rows.seen_at,
            rows.verified_at,
            *columns,
        )
        .join(realm.owners, realm.owners.id == owner)
        .where(*_this(realm, owner_id, session_id), realm.owners.closed_at.is_(None))
    )
    found = session.execute(query).one_or_none()
    if found is None or not secret_matches(secret, found.secret_hash):
        return None
    return found if deps.clock() - found.seen_at <= realm.session_age_s else None


def is_seen_lately(deps: Deps, session: Session, browser: Browser) -> bool:
    """Say whether the list of devices is right enough about this browser. Only reads."""
    rows = browser.realm.sessions
    seen_at = session.scalar(select(rows.seen_at).where(*_of(browser)))
    # A clock that was set back must not leave a time of the future there.
    return seen_at is not None and abs(deps.clock() - seen_at) < SEEN_EVERY_S


def mark_seen(deps: Deps, session: Session, browser: Browser) -> None:
    """Note that the browser was here now."""
    row = update(browser.realm.sessions).where(*_of(browser))
    session.execute(row.values(seen_at=deps.clock()))


def mark_verified(deps: Deps, session: Session, browser: Browser) -> None:
    """Note that the person has just proved who they are; raise where it is signed out."""
    rows = browser.realm.sessions
    row = update(rows).where(*_with_secret(browser)).returning(rows.id)
    if session.execute(row.values(verified_at=deps.clock())).first() is None:
        raise browser.realm.sign_in_required()


def renew_cookie(session: Session, browser: Browser) -> str:
    """Give the browser a new secret and return its cookie's value; the one before is dead.

    Only for an answer that may be lost: the person must be able to sign in once more.
    Raises the realm's ``sign_in_required`` when the browser's secret is not the newest.
    """
    secret = secrets.token_urlsafe(SECRET_BYTES)
    rows = browser.realm.sessions
    row = update(rows).where(*_with_secret(browser)).returning(rows.id)
    if session.execute(row.values(secret_hash=hash_secret(secret))).first() is None:
        raise browser.realm.sign_in_required()
    return f"{browser.owner_id}.{browser.session_id}.{secret}"


def is_confirmed(deps: Deps, session: Session, browser: Browser) -> bool:
    """Say whether ``require_confirmation`` would pass. Only reads."""
    # Asked of the database: the browser was read before this transaction began, and a copy
    # of the cookie may have waited while its owner was confirmed.
    realm = browser.realm
    verified_at = session.scalar(select(realm.sessions.verified_at).where(*_with_secret(browser)))
    # A time of the future is no proof either: the clock was set back since.
    if verified_at is not None and 0 <= deps.clock() - verified_at <= realm.confirmation_age_s:
        return True
    return realm.needs_no_proof(session, browser.owner_id)


def require_confirmation(deps: Deps, session: Session, browser: Browser) -> None:
    """Raise the realm's ``confirmation_required`` without a proof that still counts.

    A wallet with nothing that secures it needs none: there is nothing to show.
    """
    if not is_confirmed(deps, session, browser):
        raise browser.realm.confirmation_required()


def devices_of(deps: Deps, session: Session, realm: Realm, owner_id: str) -> list[Device]:
    """Return the browsers that are signed in, the one seen last first."""
    rows = realm.sessions
    query = (
        select(rows.id, rows.label, rows.created_at, rows.seen_at)
        .where(
            _owner(realm) == owner_id,
            rows.revoked_at.is_(None),
            rows.seen_at >= deps.clock() - realm.session_age_s,
        )
        .order_by(rows.seen_at.desc(), rows.id)
    )
    return [Device(*row) for row in session.execute(query)]


def sign_out_device(deps: Deps, session: Session, browser: Browser, session_id: str) -> None:
    """Sign another browser of the owner out.

    Raises InvalidRequest, and the realm's ``confirmation_required``: without the proof,
    whoever copied a cookie could lock the owner out.
    """
    if session_id == browser.session_id:
        raise InvalidRequest("This browser signs out with its own button.")
    require_confirmation(deps, session, browser)
    end_session(deps, session, browser.realm, browser.owner_id, session_id)
    browser.realm.note(deps, session, browser.owner_id, "session_ended")


def end_session(deps: Deps, session: Session, realm: Realm, owner_id: str, session_id: str) -> None:
    """Sign one browser out; one that is signed out or unknown stays as it is."""
    row = update(realm.sessions).where(*_this(realm, owner_id, session_id))
    session.execute(row.values(revoked_at=deps.clock()))


def end_sessions(deps: Deps, session: Session, realm: Realm, owner_id: str, but: str = "") -> None:
    """Sign every browser of an owner out, ``but`` one session."""
    row = update(realm.sessions).where(
        _owner(realm) == owner_id,
        realm.sessions.id != but,
        realm.sessions.revoked_at.is_(None),
    )
    session.execute(row.values(revoked_at=deps.clock()))


def revoke_other_sessions(deps: Deps, session: Session, browser: Browser) -> None:
    """Sign out every browser of the owner but the one that asks.

    Raises the realm's ``confirmation_required``, as ``sign_out_device``.
    """
    require_confirmation(deps, session, browser)
    end_sessions(deps, session, browser.realm, browser.owner_id, but=browser.session_id)
    browser.realm.note(deps, session, browser.owner_id, "other_sessions_ended")


def is_signed_out(session: Session, realm: Realm, owner_id: str, session_id: str) -> bool:
    """Say whether a browser is signed out, or unknown by now."""
    query = select(realm.sessions.id).where(*_this(realm, owner_id, session_id))
    return session.scalar(query) is None


def _owner(realm: Realm) -> Any:
    return getattr(realm.sessions, realm.owner_column)


def _this(realm: Realm, owner_id: str, session_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        _owner(realm) == owner_id,
        realm.sessions.id == session_id,
        realm.sessions.revoked_at.is_(None),
    )


def _of(browser: Browser) -> tuple[ColumnElement[bool], ...]:
    return _this(browser.realm, browser.owner_id, browser.session_id)


def _with_secret(browser: Browser) -> tuple[ColumnElement[bool], ...]:
    newest = browser.realm.sessions.secret_hash == browser.secret_hash
    return (*_of(browser), newest)
