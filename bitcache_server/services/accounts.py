"""Accounts of people: opening one, what it says about them, closing it.

All functions run inside the caller's transaction.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from bitcache_server.delivery.mail import check_address
from bitcache_server.domain.errors import (
    InvalidRequest,
    LoginTaken,
    SignUpClosed,
    UnknownAccount,
)
from bitcache_server.i18n import LANGUAGES
from bitcache_server.i18n import mark as _
from bitcache_server.models.accounts import Account, AccountSession, Membership
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import LnurlKey, Passkey, RecoveryCode
from bitcache_server.services.account_sessions import ACCOUNT_PREFIX
from bitcache_server.services.audit_trail import note
from bitcache_server.services.browsers import Browser, require_confirmation
from bitcache_server.services.deps import Deps
from bitcache_server.services.invitations import use_invitation
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.people import remove_member
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.secrets import new_id

MAX_LOGIN_CHARS = 254
MAX_NAME_CHARS = 100
_NAME = re.compile(r"[\w][\w.+-]{1,62}")
LOGIN_FORM = _(
    "A name to sign in with has 2 to 63 letters, digits, dots, dashes or underscores; "
    "or take your e-mail address."
)
LOGIN_IS_TAKEN = _("This name is taken. Sign in if it is yours, or choose another.")
NO_LANGUAGE = _("Choose one of the languages.")


@dataclass(frozen=True)
class SignUp:
    """What somebody says who opens an account."""

    login: str
    name: str
    merchant_name: str
    """Of the merchant that they open; not needed with an invitation."""
    invitation: str = field(default="", repr=False)
    locale: str | None = None
    account_id: str = field(default_factory=lambda: new_id(ACCOUNT_PREFIX))


def normalise_login(text: str) -> str:
    """Return a name to sign in with as it is compared; raise InvalidRequest where it is none.

    Case and width do not count (NFKC), so that nobody is mistaken for another.
    """
    login = unicodedata.normalize("NFKC", text.strip()[: MAX_LOGIN_CHARS + 1]).casefold()
    if "@" in login:
        return check_address(login)
    if not _NAME.fullmatch(login):
        raise InvalidRequest(LOGIN_FORM)
    return login


def compared_name(text: str) -> str:
    """Return what stands for a name that somebody typed: whatever finds one account is one."""
    try:
        return normalise_login(text)
    except InvalidRequest:
        return text.strip()[: MAX_LOGIN_CHARS + 1].casefold()


def check_sign_up(deps: Deps, session: Session, asked: SignUp) -> SignUp:
    """Return what was asked for in normal form. Only reads.

    Raises SignUpClosed, LoginTaken, InvalidRequest.
    """
    mode = deps.settings.sign_up
    if mode == "closed" or (mode == "invited" and not asked.invitation):
        raise SignUpClosed()
    login = normalise_login(asked.login)
    if session.scalar(select(Account.id).where(Account.login == login)) is not None:
        raise LoginTaken(LOGIN_IS_TAKEN)
    merchant_name = asked.merchant_name.strip()
    if merchant_name or not asked.invitation:
        merchant_name = check_name(merchant_name, _("The name of your shop or site"))
    name = check_name(asked.name, _("Your name"), MAX_NAME_CHARS)
    return SignUp(login, name, merchant_name, asked.invitation, asked.locale, asked.account_id)


def sign_up(
    deps: Deps, session: Session, asked: SignUp, way: str, password_hash: str | None = None
) -> str:
    """Open an account, and a merchant that it owns; return the account's id.

    ``way`` says what opens it: whoever calls this adds it in the same transaction. Raises
    SignUpClosed, LoginTaken, InvalidRequest, InvitationInvalid.
    """
    asked = check_sign_up(deps, session, asked)
    account_id = add_account(
        deps,
        session,
        asked.login,
        asked.name,
        password_hash=password_hash,
        locale=asked.locale,
        account_id=asked.account_id,
    )
    note(deps, session, "account.signed_up", account_id=account_id, subject=account_id, way=way)
    if asked.invitation:
        seen = use_invitation(deps, session, asked.invitation, account_id)
        if seen.merchant_id and asked.merchant_name and deps.settings.sign_up == "invited":
            # Who sells here is the operator's to say, not another merchant's.
            raise SignUpClosed()
    if asked.merchant_name:
        open_merchant(deps, session, account_id, asked.merchant_name)
    return account_id


def add_account(
    deps: Deps,
    session: Session,
    login: str,
    name: str,
    *,
    password_hash: str | None = None,
    is_operator: bool = False,
    locale: str | None = None,
    account_id: str = "",
) -> str:
    """Add an account and return its id. Raises LoginTaken, InvalidRequest."""
    login = normalise_login(login)
    made = {
        "id": account_id or new_id(ACCOUNT_PREFIX),
        "login": login,
        "name": check_name(name, _("Your name"), MAX_NAME_CHARS),
        "email": login if "@" in login else None,
        "password_hash": password_hash,
        "totp_last_step": 0,
        "locale": locale,
        "is_operator": is_operator,
        "created_at": deps.clock(),
    }
    if not insert_missing(session, Account, **made):
        raise LoginTaken(LOGIN_IS_TAKEN)
    return str(made["id"])


def open_merchant(deps: Deps, session: Session, account_id: str, name: str) -> str:
    """Open a merchant that the account owns; return its id. Raises InvalidRequest."""
    merchant = add_merchant(deps, session, name, None)
    session.add(
        Membership(
            merchant_id=merchant.id,
            account_id=account_id,
            role=Role.OWNER.value,
            created_at=deps.clock(),
        )
    )
    note(
        deps,
        session,
        "merchant.opened",
        merchant_id=merchant.id,
        account_id=account_id,
        subject=merchant.id,
        name=merchant.name,
    )
    return merchant.id


def get_account(session: Session, account_id: str) -> Account:
    """Return an account that is open; raise UnknownAccount."""
    account = session.get(Account, account_id, populate_existing=True)
    if account is None or account.closed_at is not None:
        raise UnknownAccount()
    return account


def find_account(session: Session, login: str) -> Account | None:
    """Return the open account of a name as it was typed; None where there is none. Only reads."""
    try:
        normal = normalise_login(login)
    except InvalidRequest:
        return None
    query = select(Account).where(Account.login == normal, Account.closed_at.is_(None))
    return session.scalar(query.execution_options(populate_existing=True))


def change_profile(
    deps: Deps, session: Session, account_id: str, name: str, locale: str | None
) -> None:
    """Change what a person is called and the language of their pages. Raises InvalidRequest."""
    if locale is not None and locale not in LANGUAGES:
        raise InvalidRequest(NO_LANGUAGE)
    account = get_account(session, account_id)
    account.name, account.locale = check_name(name, _("Your name"), MAX_NAME_CHARS), locale
    session.flush()
    note(deps, session, "account.profile_changed", account_id=account_id, subject=account_id)


def change_login(deps: Deps, session: Session, browser: Browser, login: str) -> None:
    """Change what a person signs in with.

    Raises AccountConfirmationRequired, LoginTaken, InvalidRequest.
    """
    require_confirmation(deps, session, browser)
    account = get_account(session, browser.owner_id)
    before, login = account.login, normalise_login(login)
    if login == before:
        return
    taken = select(Account.id).where(Account.login == login)
    if session.scalar(taken) is not None:
        raise LoginTaken(LOGIN_IS_TAKEN)
    account.login = login
    session.flush()
    note(
        deps,
        session,
        "account.login_changed",
        account_id=account.id,
        subject=account.id,
        before=before,
        after=login,
    )


def close_account(deps: Deps, session: Session, browser: Browser) -> None:
    """Close an account for good: what opens it, where it is open, and its work for merchants.

    The name stays, because the logs of merchants say who did something. Raises
    AccountConfirmationRequired, and LastOwner while a merchant would have no owner left.
    """
    require_confirmation(deps, session, browser)
    account = get_account(session, browser.owner_id)
    worked_for = select(Membership.merchant_id).where(Membership.account_id == account.id)
    # In the order of their ids, as services/merchant_lock.py asks.
    for merchant_id in sorted(session.scalars(worked_for)):
        remove_member(deps, session, merchant_id, account.id, account.id)
    for secret in (Passkey, RecoveryCode, LnurlKey):
        session.execute(delete(secret).where(secret.owner_id == account.id))
    session.execute(delete(AccountSession).where(AccountSession.account_id == account.id))
    session.execute(
        update(Account)
        .where(Account.id == account.id)
        .values(
            login=f"closed {account.id}",
            email=None,
            email_verified_at=None,
            password_hash=None,
            totp_sealed=None,
            totp_confirmed_at=None,
            is_operator=False,
            closed_at=deps.clock(),
        )
        .execution_options(synchronize_session=False)
    )
    note(deps, session, "account.closed", account_id=account.id, subject=account.id)
