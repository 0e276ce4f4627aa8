"""Accounts and the browsers that are signed in to them: what is theirs alone.

``services/browsers.py`` has what wallets and accounts share.
"""

import re
from dataclasses import dataclass, field

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AccountConfirmationRequired,
    AccountRequired,
    InvalidRequest,
    SignInFailed,
)
from bitcache_server.i18n import mark as _
from bitcache_server.models.accounts import Account, AccountSession
from bitcache_server.models.wallets import LnurlKey, Passkey
from bitcache_server.services.audit_trail import note
from bitcache_server.services.browsers import (
    Browser,
    Realm,
    Words,
    end_session,
    find_session,
    open_browser,
)
from bitcache_server.services.deps import Deps

ACCOUNT_PREFIX = "ac"
#: A browser that was not seen for so long is signed out.
SESSION_AGE_S = 30 * 86_400
#: How long a proof of who they are counts for what moves money or opens new doors.
CONFIRMATION_AGE_S = 600
LAST_WAY_IN = _("Nothing else opens your account. Set a password or add a passkey first.")


@dataclass(frozen=True)
class SignedIn:
    """Who asks: a browser that is signed in to an account."""

    account_id: str
    session_id: str
    verified_at: int | None
    locale: str | None
    is_operator: bool
    name: str
    secret_hash: str = field(compare=False, repr=False)

    @property
    def owner_id(self) -> str:
        """The account."""
        return self.account_id

    @property
    def realm(self) -> Realm:
        """Accounts."""
        return ACCOUNTS


def open_account_session(deps: Deps, session: Session, account_id: str, label: str) -> str:
    """Sign a browser in, whose person has just proved who they are; return its cookie's value.

    Raises SignInFailed for an account that is closed.
    """
    return open_browser(deps, session, ACCOUNTS, account_id, label, verified=True)


def authenticate_account(deps: Deps, session: Session, cookie: str | None) -> SignedIn | None:
    """Return whom a cookie belongs to; None where it is wrong, ended or of a closed account.

    Only reads, and needs no transaction.
    """
    columns = (Account.locale, Account.is_operator, Account.name)
    found = find_session(deps, session, ACCOUNTS, cookie, *columns)
    if found is None:
        return None
    return SignedIn(
        found.owner_id,
        found.session_id,
        found.verified_at,
        found.locale,
        found.is_operator,
        found.name,
        found.secret_hash,
    )


def require_fresh(deps: Deps, signed_in: SignedIn) -> None:
    """Raise AccountConfirmationRequired unless they proved who they are within ten minutes."""
    verified_at = signed_in.verified_at
    if verified_at is None or not 0 <= deps.clock() - verified_at <= CONFIRMATION_AGE_S:
        raise AccountConfirmationRequired()


def leave_account(deps: Deps, session: Session, before: Browser | None) -> None:
    """End the session that a browser had, if any: it is signed out, or in to another."""
    if before is not None:
        end_session(deps, session, ACCOUNTS, before.owner_id, before.session_id)


def require_way_in(session: Session, account_id: str) -> None:
    """Raise InvalidRequest where neither password, passkey nor Lightning wallet opens it."""
    password = exists().where(Account.id == account_id, Account.password_hash.is_not(None))
    passkey = exists().where(Passkey.owner_id == account_id)
    key = exists().where(LnurlKey.owner_id == account_id)
    if not session.scalar(select(or_(password, passkey, key))):
        raise InvalidRequest(LAST_WAY_IN)


def _login(session: Session, account_id: str) -> str:
    return str(session.scalar(select(Account.login).where(Account.id == account_id)) or "")


def _note(deps: Deps, session: Session, account_id: str, what: str) -> None:
    note(deps, session, f"account.{what}", account_id=account_id, subject=account_id)


ACCOUNTS = Realm(
    name="account",
    prefix=ACCOUNT_PREFIX,
    session_prefix="as",
    owners=Account,
    sessions=AccountSession,
    owner_column="account_id",
    cookie=re.compile(r"(ac_[A-Za-z0-9_-]{22})\.(as_[A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})"),
    session_age_s=SESSION_AGE_S,
    confirmation_age_s=CONFIRMATION_AGE_S,
    user_verification=True,
    sign_in_required=AccountRequired,
    confirmation_required=AccountConfirmationRequired,
    unknown=SignInFailed,
    passkey_name=_login,
    needs_no_proof=lambda _session, _account_id: False,
    require_way_in=require_way_in,
    note=_note,
    words=Words(
        too_many_passkeys=_("An account has at most 20 passkeys. Remove one first."),
        other_passkey=_("This passkey belongs to another account."),
        opens_nothing=_("This Lightning wallet opens no account here."),
        other_key=_("This Lightning wallet does not open this account."),
        key_in_use=_("This Lightning wallet opens an account here already."),
    ),
)
