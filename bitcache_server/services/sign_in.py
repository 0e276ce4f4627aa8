"""Signing in with a password, and a one-time password where the account has them.

An unknown name goes the same way as a wrong password: one comparison by Argon2 and one row
written, so that neither the answer nor its time says whether there is such an account.
Passwords are compared outside of transactions: that takes long on purpose.
"""

from dataclasses import dataclass, field

from sqlalchemy import update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import SignInFailed
from bitcache_server.models.accounts import Account
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_sessions import (
    ACCOUNTS,
    SignedIn,
    leave_account,
    open_account_session,
)
from bitcache_server.services.accounts import find_account, get_account
from bitcache_server.services.browsers import (
    Browser,
    end_sessions,
    mark_verified,
    renew_cookie,
    require_confirmation,
)
from bitcache_server.services.deps import Deps
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.passwords import check_password, new_password_hash
from bitcache_server.services.totp import require_totp
from bitcache_server.tokens.secrets import hash_secret

#: Between the password and the one-time password.
PASSWORD_SHOWN = Purpose("password_shown", 300)
_NOBODY = Purpose("sign_in_failed", 60)


@dataclass(frozen=True)
class Entrance:
    """What a right password gives: a cookie, or a proof that asks for a one-time password."""

    cookie: str = field(default="", repr=False)
    proof: str = field(default="", repr=False)


def sign_in_with_password(
    deps: Deps, session: Session, login: str, password: str, label: str, before: Browser | None
) -> Entrance:
    """Sign a browser in, or say what is missing. Raises SignInFailed. Opens its transactions."""
    account = _compare(deps, session, find_account(session, login), password)
    account_id, shown = account.id, _fingerprint(account)
    if account.totp_confirmed_at is not None:
        return Entrance(proof=f"{account_id}.{new_code(deps, PASSWORD_SHOWN, shown)}")
    with write_transaction(session):
        account = _open_account(session, account_id, lock=True)
        if _fingerprint(account) != shown or account.totp_confirmed_at is not None:
            # The owner was faster: another password, and all browsers are signed out.
            raise SignInFailed()
        return Entrance(_enter(deps, session, account_id, label, before, "password"))


def sign_in_with_totp(
    deps: Deps, session: Session, proof: str, code: str, label: str, before: Browser | None
) -> str:
    """Sign in who has shown the password before; return the cookie's value.

    Raises SignInFailed. Opens its transactions.
    """
    account_id, _, shown = proof.partition(".")
    try:
        with write_transaction(session):
            account = _open_account(session, account_id, lock=True)
            if not use_code(deps, session, PASSWORD_SHOWN, shown, _fingerprint(account)):
                raise SignInFailed()
            require_totp(deps, session, account, code)
            return _enter(deps, session, account_id, label, before, "password and code")
    except SignInFailed:
        _note_failure(deps, session, account_id if _is_known(session, account_id) else None)
        raise


def login_of_proof(session: Session, proof: str) -> str:
    """Return whose tries a proof counts for; empty where it names nobody. Only reads."""
    account = session.get(Account, proof.partition(".")[0][:64])
    return account.login if account else ""


def confirm_with_password(
    deps: Deps, session: Session, browser: SignedIn, password: str, code: str
) -> str:
    """Let password and one-time password prove who they are; return the browser's new cookie.

    Raises SignInFailed. Opens its transactions.
    """
    account = _compare(deps, session, get_account(session, browser.account_id), password)
    try:
        with write_transaction(session):
            require_totp(deps, session, get_account(session, account.id), code)
            mark_verified(deps, session, browser)
            return renew_cookie(session, browser)
    except SignInFailed:
        _note_failure(deps, session, browser.account_id)
        raise


def change_password(deps: Deps, session: Session, browser: Browser, password: str) -> str:
    """Set a new password and end all other sessions; return the browser's new cookie.

    Raises InvalidRequest, AccountConfirmationRequired. Opens its transactions.
    """
    require_confirmation(deps, session, browser)
    account = get_account(session, browser.owner_id)
    made = new_password_hash(password, account.login, account.name)
    with write_transaction(session):
        require_confirmation(deps, session, browser)
        set_password(deps, session, browser.owner_id, made, but=browser.session_id)
        return renew_cookie(session, browser)


def set_password(
    deps: Deps, session: Session, account_id: str, password_hash: str, but: str = ""
) -> None:
    """Keep another password and sign every browser out ``but`` one, inside a transaction."""
    session.execute(
        update(Account).where(Account.id == account_id).values(password_hash=password_hash)
    )
    end_sessions(deps, session, ACCOUNTS, account_id, but=but)
    ACCOUNTS.note(deps, session, account_id, "password_changed")


def _compare(deps: Deps, session: Session, account: Account | None, password: str) -> Account:
    """Return the account when the password is right; raise SignInFailed."""
    stored = account.password_hash if account else None
    account_id = account.id if account else None
    # What the session has read may be a minute old when Argon2 is done.
    session.rollback()
    verdict = check_password(stored, password)
    if account_id is None or not verdict.is_right:
        _note_failure(deps, session, account_id)
        raise SignInFailed()
    if verdict.new_hash is not None:
        with write_transaction(session):
            unchanged = (Account.id == account_id, Account.password_hash == stored)
            row = update(Account).where(*unchanged).values(password_hash=verdict.new_hash)
            session.execute(row.execution_options(synchronize_session=False))
    account = _open_account(session, account_id)
    if account.password_hash not in (stored, verdict.new_hash):
        raise SignInFailed()
    return account


def _enter(
    deps: Deps, session: Session, account_id: str, label: str, before: Browser | None, way: str
) -> str:
    ACCOUNTS.note(deps, session, account_id, f"signed_in_by_{way.replace(' ', '_')}")
    leave_account(deps, session, before)
    return open_account_session(deps, session, account_id, label)


def _note_failure(deps: Deps, session: Session, account_id: str | None) -> None:
    """Write down that a try failed; for a name that nobody has, a row that the jobs forget."""
    with write_transaction(session):
        if account_id is not None:
            ACCOUNTS.note(deps, session, account_id, "sign_in_failed")
        else:
            use_code(deps, session, _NOBODY, new_code(deps, _NOBODY))


def _open_account(session: Session, account_id: str, *, lock: bool = False) -> Account:
    """Return the account; with ``lock`` its password stays until the transaction ends.

    Whoever changes it meanwhile waits, and then signs this browser out with the others.
    """
    locking = {"key_share": True} if lock else None
    account = session.get(Account, account_id[:64], populate_existing=True, with_for_update=locking)
    if account is None or account.closed_at is not None:
        raise SignInFailed()
    return account


def _is_known(session: Session, account_id: str) -> bool:
    return session.get(Account, account_id[:64]) is not None


def _fingerprint(account: Account) -> str:
    """Bind a code to an account with this very password: another one ends it."""
    return f"{account.id}.{hash_secret(account.password_hash or '')[:16]}"
