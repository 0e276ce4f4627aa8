"""Wallets and the browsers that are signed in to them.

A browser holds a cookie ``<wallet id>.<session id>.<secret>``; of the secret only its
SHA-256 is stored. Signing a browser out ends its session here, so that a copy of the
cookie is worth nothing from then on. So does the reader's proof of who they are: the
browser gets a new secret with the answer, and a copy of the old cookie is not confirmed
along with its owner.
"""

import re
import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from bitcache_server.domain.errors import (
    ConfirmationRequired,
    InvalidRequest,
    SignInRequired,
    UnknownWallet,
)
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import LnurlKey, Passkey, RecoveryCode, WalletSession
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.secrets import hash_secret, new_id, secret_matches

WALLET_PREFIX = "wa"
SESSION_PREFIX = "ws"
SECRET_BYTES = 32
#: A browser that was not seen for so long is signed out; its cookie ends then as well.
SESSION_AGE_S = 400 * 86_400
#: How long a passkey or recovery code counts for what moves money or opens new doors.
CONFIRMATION_AGE_S = 300
#: How exactly the list of devices knows when each was seen: not a write for every page.
SEEN_EVERY_S = 3_600
#: How long it stays known that a browser was signed out.
KEPT_S = 30 * 86_400
MAX_LABEL_CHARS = 200
_COOKIE = re.compile(r"(wa_[A-Za-z0-9_-]{1,61})\.(ws_[A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Holder:
    """Who asks: a browser that is signed in to a wallet."""

    wallet_id: str
    session_id: str
    verified_at: int | None
    """When this browser last showed a passkey or the recovery code."""
    secret_hash: str = field(compare=False, repr=False)
    """Of the secret in its cookie: who holds an older one is not confirmed with it."""


@dataclass(frozen=True)
class Device:
    """A signed-in browser, for the reader's list."""

    session_id: str
    label: str
    created_at: int
    seen_at: int


def create_wallet(deps: Deps, session: Session) -> Wallet:
    """Add an empty wallet."""
    wallet = Wallet(id=new_id(WALLET_PREFIX), balance_msat=0, gift_msat=0, created_at=deps.clock())
    session.add(wallet)
    session.flush()
    return wallet


def open_session(deps: Deps, session: Session, wallet_id: str, label: str, verified: bool) -> str:
    """Sign a browser in and return its cookie's value. Raises UnknownWallet, also if closed.

    ``verified`` says that the reader has just shown a passkey or the recovery code.
    """
    require_open_wallet(session, wallet_id)
    now = deps.clock()
    secret = secrets.token_urlsafe(SECRET_BYTES)
    row = WalletSession(
        wallet_id=wallet_id,
        id=new_id(SESSION_PREFIX),
        secret_hash=hash_secret(secret),
        label=label[:MAX_LABEL_CHARS],
        created_at=now,
        seen_at=now,
        verified_at=now if verified else None,
    )
    session.add(row)
    session.flush()
    return f"{wallet_id}.{row.id}.{secret}"


def authenticate(deps: Deps, session: Session, cookie: str | None) -> Holder | None:
    """Return who a cookie belongs to; None where it is wrong, signed out or of a closed wallet.

    Only reads, and needs no transaction.
    """
    match = _COOKIE.fullmatch(cookie or "")
    if match is None:
        return None
    wallet_id, session_id, secret = match.groups()
    # Columns, not the row: a session may remember a row from before it was revoked.
    query = (
        select(WalletSession.secret_hash, WalletSession.seen_at, WalletSession.verified_at)
        .join(Wallet, Wallet.id == WalletSession.wallet_id)
        .where(
            WalletSession.wallet_id == wallet_id,
            WalletSession.id == session_id,
            WalletSession.revoked_at.is_(None),
            Wallet.closed_at.is_(None),
        )
    )
    found = session.execute(query).one_or_none()
    if found is None or not secret_matches(secret, found.secret_hash):
        return None
    if deps.clock() - found.seen_at > SESSION_AGE_S:
        return None
    return Holder(wallet_id, session_id, found.verified_at, found.secret_hash)


def is_seen_lately(deps: Deps, session: Session, holder: Holder) -> bool:
    """Say whether the list of devices is right enough about this browser. Only reads."""
    query = select(WalletSession.seen_at).where(*_this(holder.wallet_id, holder.session_id))
    seen_at = session.scalar(query)
    # A clock that was set back must not leave a time of the future there.
    return seen_at is not None and abs(deps.clock() - seen_at) < SEEN_EVERY_S


def mark_seen(deps: Deps, session: Session, holder: Holder) -> None:
    """Note that the browser was here now."""
    row = update(WalletSession).where(*_this(holder.wallet_id, holder.session_id))
    session.execute(row.values(seen_at=deps.clock()))


def mark_verified(deps: Deps, session: Session, holder: Holder) -> None:
    """Note that the reader has just proved who they are; raise SignInRequired if signed out."""
    row = update(WalletSession).where(*_with_secret(holder)).returning(WalletSession.id)
    if session.execute(row.values(verified_at=deps.clock())).first() is None:
        raise SignInRequired()


def renew_cookie(session: Session, holder: Holder) -> str:
    """Give the browser a new secret and return its cookie's value; the one before is dead.

    Only for an answer that may be lost: the reader must be able to sign in once more.
    Raises SignInRequired when the holder's secret is not the newest.
    """
    secret = secrets.token_urlsafe(SECRET_BYTES)
    row = update(WalletSession).where(*_with_secret(holder)).returning(WalletSession.id)
    if session.execute(row.values(secret_hash=hash_secret(secret))).first() is None:
        raise SignInRequired()
    return f"{holder.wallet_id}.{holder.session_id}.{secret}"


def is_secured(session: Session, wallet_id: str) -> bool:
    """Say whether another browser could get into the wallet: by passkey, code or Lightning."""
    passkey = exists().where(Passkey.wallet_id == wallet_id)
    code = exists().where(RecoveryCode.wallet_id == wallet_id)
    key = exists().where(LnurlKey.wallet_id == wallet_id)
    return bool(session.scalar(select(or_(passkey, code, key))))


def is_confirmed(deps: Deps, session: Session, holder: Holder) -> bool:
    """Say whether ``require_confirmation`` would pass. Only reads."""
    # Asked of the database: the holder was read before this transaction began, and a copy
    # of the cookie may have waited while its owner was confirmed.
    query = select(WalletSession.verified_at).where(*_with_secret(holder))
    verified_at = session.scalar(query)
    # A time of the future is no proof either: the clock was set back since.
    if verified_at is not None and 0 <= deps.clock() - verified_at <= CONFIRMATION_AGE_S:
        return True
    return not is_secured(session, holder.wallet_id)


def require_confirmation(deps: Deps, session: Session, holder: Holder) -> None:
    """Raise ConfirmationRequired unless the reader has shown who they are within five minutes.

    A wallet with nothing that secures it needs none: there is nothing to show.
    """
    if not is_confirmed(deps, session, holder):
        raise ConfirmationRequired()


def devices(deps: Deps, session: Session, wallet_id: str) -> list[Device]:
    """Return the browsers that are signed in, the one seen last first."""
    query = (
        select(WalletSession)
        .where(
            WalletSession.wallet_id == wallet_id,
            WalletSession.revoked_at.is_(None),
            WalletSession.seen_at >= deps.clock() - SESSION_AGE_S,
        )
        .order_by(WalletSession.seen_at.desc(), WalletSession.id)
        .execution_options(populate_existing=True)
    )
    return [
        Device(row.id, row.label, row.created_at, row.seen_at) for row in session.scalars(query)
    ]


def sign_out_device(deps: Deps, session: Session, holder: Holder, session_id: str) -> None:
    """Sign another browser of the wallet out. Raises ConfirmationRequired, InvalidRequest.

    Without the proof, whoever copied a cookie could lock the owner out.
    """
    if session_id == holder.session_id:
        raise InvalidRequest("This browser signs out with its own button.")
    require_confirmation(deps, session, holder)
    revoke_session(deps, session, holder.wallet_id, session_id)


def revoke_session(deps: Deps, session: Session, wallet_id: str, session_id: str) -> None:
    """Sign one browser out; one that is signed out or unknown stays as it is."""
    row = update(WalletSession).where(*_this(wallet_id, session_id))
    session.execute(row.values(revoked_at=deps.clock()))


def revoke_other_sessions(deps: Deps, session: Session, holder: Holder) -> None:
    """Sign out every browser of the wallet but the one that asks.

    Raises ConfirmationRequired, as ``sign_out_device``.
    """
    require_confirmation(deps, session, holder)
    others = update(WalletSession).where(
        WalletSession.wallet_id == holder.wallet_id,
        WalletSession.id != holder.session_id,
        WalletSession.revoked_at.is_(None),
    )
    session.execute(others.values(revoked_at=deps.clock()))


def forget_signed_out_sessions(deps: Deps, session: Session) -> int:
    """Delete sessions that were signed out a month ago; return how many. Opens its transaction.

    Never those that were not seen for long: with a clock that jumped ahead that would be
    every browser, and some hold a wallet that nothing else opens.
    """
    old = delete(WalletSession).where(WalletSession.revoked_at < deps.clock() - KEPT_S)
    with write_transaction(session):
        return len(session.execute(old.returning(WalletSession.id)).all())


def leave_wallet(deps: Deps, session: Session, holder: Holder | None, understood: bool) -> None:
    """Sign a browser out of the wallet that it holds, for another or for none.

    Raises InvalidRequest when that would lose the wallet for good, because nothing else
    opens it, unless the reader has ``understood`` that.
    """
    if holder is None:
        return
    if not understood and not is_secured(session, holder.wallet_id):
        raise InvalidRequest(
            "Nothing but this browser opens its wallet. Make a recovery code or a passkey "
            "first, or say that you give the wallet up."
        )
    revoke_session(deps, session, holder.wallet_id, holder.session_id)


def is_signed_out(session: Session, wallet_id: str, session_id: str) -> bool:
    """Say whether a browser is signed out, or unknown by now."""
    query = select(WalletSession.id).where(*_this(wallet_id, session_id))
    return session.scalar(query) is None


def require_open_wallet(session: Session, wallet_id: str) -> None:
    """Raise UnknownWallet when there is no such wallet or its reader has deleted it."""
    query = select(Wallet.id).where(Wallet.id == wallet_id, Wallet.closed_at.is_(None))
    if session.scalar(query) is None:
        raise UnknownWallet()


def _this(wallet_id: str, session_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        WalletSession.wallet_id == wallet_id,
        WalletSession.id == session_id,
        WalletSession.revoked_at.is_(None),
    )


def _with_secret(holder: Holder) -> tuple[ColumnElement[bool], ...]:
    newest = WalletSession.secret_hash == holder.secret_hash
    return (*_this(holder.wallet_id, holder.session_id), newest)
