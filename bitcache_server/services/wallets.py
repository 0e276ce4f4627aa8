"""Wallets, and what is theirs alone about the browsers that are signed in to them.

``services/browsers.py`` has what wallets and accounts share.
"""

import re
from dataclasses import dataclass, field

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    ConfirmationRequired,
    InvalidRequest,
    SignInRequired,
    UnknownWallet,
)
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import LnurlKey, Passkey, RecoveryCode, WalletSession
from bitcache_server.services import browsers
from bitcache_server.services.browsers import (
    Browser,
    Device,
    Realm,
    Words,
    devices_of,
    open_browser,
)
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.secrets import new_id

WALLET_PREFIX = "wa"
SESSION_PREFIX = "ws"
SESSION_AGE_S = 400 * 86_400
CONFIRMATION_AGE_S = 300
#: How long it stays known that a browser was signed out.
KEPT_S = 30 * 86_400


@dataclass(frozen=True)
class Holder:
    """Who asks: a browser that is signed in to a wallet."""

    wallet_id: str
    session_id: str
    verified_at: int | None
    """When this browser last showed a passkey or the recovery code."""
    secret_hash: str = field(compare=False, repr=False)
    """Of the secret in its cookie: who holds an older one is not confirmed with it."""

    @property
    def owner_id(self) -> str:
        """The wallet."""
        return self.wallet_id

    @property
    def realm(self) -> Realm:
        """Wallets."""
        return WALLETS


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
    return open_browser(deps, session, WALLETS, wallet_id, label, verified=verified)


def authenticate(deps: Deps, session: Session, cookie: str | None) -> Holder | None:
    """Return who a cookie belongs to; None where it is wrong, signed out or of a closed wallet.

    Only reads, and needs no transaction.
    """
    found = browsers.find_session(deps, session, WALLETS, cookie)
    if found is None:
        return None
    return Holder(found.owner_id, found.session_id, found.verified_at, found.secret_hash)


def is_secured(session: Session, wallet_id: str) -> bool:
    """Say whether another browser could get into the wallet: by passkey, code or Lightning."""
    passkey = exists().where(Passkey.owner_id == wallet_id)
    code = exists().where(RecoveryCode.owner_id == wallet_id)
    key = exists().where(LnurlKey.owner_id == wallet_id)
    return bool(session.scalar(select(or_(passkey, code, key))))


def devices(deps: Deps, session: Session, wallet_id: str) -> list[Device]:
    """Return the browsers that are signed in, the one seen last first."""
    return devices_of(deps, session, WALLETS, wallet_id)


def revoke_session(deps: Deps, session: Session, wallet_id: str, session_id: str) -> None:
    """Sign one browser out; one that is signed out or unknown stays as it is."""
    browsers.end_session(deps, session, WALLETS, wallet_id, session_id)


def forget_signed_out_sessions(deps: Deps, session: Session) -> int:
    """Delete sessions that were signed out a month ago; return how many. Opens its transaction.

    Never those that were not seen for long: with a clock that jumped ahead that would be
    every browser, and some hold a wallet that nothing else opens.
    """
    old = delete(WalletSession).where(WalletSession.revoked_at < deps.clock() - KEPT_S)
    with write_transaction(session):
        return len(session.execute(old.returning(WalletSession.id)).all())


def leave_wallet(deps: Deps, session: Session, holder: Browser | None, understood: bool) -> None:
    """Sign a browser out of the wallet that it holds, for another or for none.

    Raises InvalidRequest when that would lose the wallet for good, because nothing else
    opens it, unless the reader has ``understood`` that.
    """
    if holder is None:
        return
    if not understood and not is_secured(session, holder.owner_id):
        raise InvalidRequest(
            "Nothing but this browser opens its wallet. Make a recovery code or a passkey "
            "first, or say that you give the wallet up."
        )
    revoke_session(deps, session, holder.owner_id, holder.session_id)


def is_signed_out(session: Session, wallet_id: str, session_id: str) -> bool:
    """Say whether a browser is signed out, or unknown by now."""
    return browsers.is_signed_out(session, WALLETS, wallet_id, session_id)


def require_open_wallet(session: Session, wallet_id: str) -> None:
    """Raise UnknownWallet when there is no such wallet or its reader has deleted it."""
    query = select(Wallet.id).where(Wallet.id == wallet_id, Wallet.closed_at.is_(None))
    if session.scalar(query) is None:
        raise UnknownWallet()


def _passkey_name(_session: Session, wallet_id: str) -> str:
    # Four characters tell wallets apart.
    return f"Wallet {wallet_id[-4:]}"


def _note(_deps: Deps, _session: Session, _wallet_id: str, _what: str) -> None:
    """Write nothing: nobody looks over readers' shoulders."""


WALLETS = Realm(
    name="wallet",
    prefix=WALLET_PREFIX,
    session_prefix=SESSION_PREFIX,
    owners=Wallet,
    sessions=WalletSession,
    owner_column="wallet_id",
    cookie=re.compile(r"(wa_[A-Za-z0-9_-]{1,61})\.(ws_[A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})"),
    session_age_s=SESSION_AGE_S,
    confirmation_age_s=CONFIRMATION_AGE_S,
    user_verification=False,
    sign_in_required=SignInRequired,
    confirmation_required=ConfirmationRequired,
    unknown=UnknownWallet,
    passkey_name=_passkey_name,
    needs_no_proof=lambda session, wallet_id: not is_secured(session, wallet_id),
    require_way_in=lambda _session, _wallet_id: None,
    note=_note,
    words=Words(
        too_many_passkeys="A wallet has at most 20 passkeys. Remove one first.",
        other_passkey="This passkey belongs to another wallet.",
        opens_nothing="This Lightning wallet opens no balance here.",
        other_key="This Lightning wallet does not open this balance.",
        key_in_use="This Lightning wallet opens a balance here already.",
    ),
)
