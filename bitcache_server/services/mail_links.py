"""Links by mail: a new password for who has forgotten it, and whether an address is theirs.

Only an address that was verified gets the first. Each link works once; one for a password
dies with the password that it was to replace.
"""

import secrets
from urllib.parse import urlencode

from sqlalchemy import and_, not_, or_, select, update
from sqlalchemy.orm import Session

from bitcache_server.delivery.mail import check_address
from bitcache_server.domain.errors import InvalidRequest, LinkInvalid
from bitcache_server.i18n import mark as _
from bitcache_server.i18n import translations
from bitcache_server.models.accounts import Account
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_sessions import ACCOUNTS
from bitcache_server.services.accounts import find_account, get_account
from bitcache_server.services.audit_trail import note
from bitcache_server.services.browsers import Browser, require_confirmation
from bitcache_server.services.deps import Deps
from bitcache_server.services.mail_outbox import queue_mail
from bitcache_server.services.one_time_codes import Purpose, is_ours, new_code, use_code
from bitcache_server.services.passwords import new_password_hash
from bitcache_server.services.sign_in import set_password
from bitcache_server.tokens.secrets import hash_secret

RESET = Purpose("password_reset", 1_800)
VERIFY = Purpose("email_verify", 86_400)
_NOBODY = Purpose("reset_nobody", 60)
RESET_PATH = "/account/reset"
VERIFY_PATH = "/account/email"
_RESET_SUBJECT = _("A new password")
_RESET_TEXT = _(
    "Somebody, probably you, asked for a new password for %(login)s at %(host)s.\n\n"
    "This link works once, within 30 minutes:\n\n%(link)s\n\n"
    "If it was not you, do nothing: your password stays as it is."
)
_VERIFY_SUBJECT = _("Is this your address?")
_VERIFY_TEXT = _(
    "Open this link to confirm that %(email)s belongs to your account at %(host)s. It works "
    "once, within a day:\n\n%(link)s\n\nIf you know nothing of it, do nothing."
)
_MOVED_SUBJECT = _("Mail for you goes elsewhere now")
_MOVED_TEXT = _(
    "The address of the account %(login)s at %(host)s was changed: this one gets no more mail.\n\n"
    "If it was not you, sign in now, end all other sessions and set another password."
)
LINK_IS_OVER = _("This link was used, or is too old. Ask for a new one.")


def ask_reset(deps: Deps, session: Session, login: str) -> None:
    """Mail a link for a new password, if the name is known and its address is verified.

    Nothing comes back: nobody learns which names there are. Opens its transaction.
    """
    with write_transaction(session):
        account = find_account(session, login)
        email = account.email if account and account.email_verified_at else None
        if account is None or email is None:
            # As much work as the other way, so that the time says nothing either.
            use_code(deps, session, _NOBODY, new_code(deps, _NOBODY))
            return
        link = reset_link(deps, account)
        values = {"login": account.login, "host": deps.settings.public_url, "link": link}
        _mail(deps, session, account, email, (_RESET_SUBJECT, _RESET_TEXT), values)
        ACCOUNTS.note(deps, session, account.id, "reset_asked")


def reset_link(deps: Deps, account: Account) -> str:
    """Return a link that sets a new password, for who knows by other means whom it goes to."""
    code = f"{account.id}.{new_code(deps, RESET, _fingerprint(account))}"
    return _link(deps, RESET_PATH, code)


def reset_password(deps: Deps, session: Session, code: str, password: str) -> None:
    """Set a new password by a link and end all sessions. Nobody is signed in by it.

    Raises LinkInvalid, InvalidRequest for the password: the link then still works. Opens its
    transaction.
    """
    account_id, _, secret = code.partition(".")
    account = _account_of(session, account_id)
    if not is_ours(deps, RESET, secret, _fingerprint(account)):
        raise LinkInvalid(LINK_IS_OVER)
    made = new_password_hash(password, account.login, account.name)
    with write_transaction(session):
        account = _account_of(session, account_id)
        if not use_code(deps, session, RESET, secret, _fingerprint(account)):
            raise LinkInvalid(LINK_IS_OVER)
        set_password(deps, session, account_id, made)


def change_email(deps: Deps, session: Session, browser: Browser, text: str) -> None:
    """Keep another address, or none, and mail a link to it: until then it gets nothing else.

    Runs in the caller's transaction. Raises InvalidRequest, AccountConfirmationRequired.
    """
    require_confirmation(deps, session, browser)
    account = get_account(session, browser.owner_id)
    email = check_address(text) if text.strip() else None
    if email != account.email:
        _tell_old_address(deps, session, account)
        account.email, account.email_verified_at = email, None
        session.flush()
        ACCOUNTS.note(deps, session, account.id, "email_changed")
    if email is not None and account.email_verified_at is None:
        send_verification(deps, session, account)


def send_verification(deps: Deps, session: Session, account: Account) -> None:
    """Mail the link that verifies the account's address, inside a transaction."""
    email = account.email
    if email is None or deps.mail is None:
        return
    code = f"{account.id}.{new_code(deps, VERIFY, f'{account.id}.{email}')}"
    link = _link(deps, VERIFY_PATH, code)
    values = {"email": email, "host": deps.settings.public_url, "link": link}
    _mail(deps, session, account, email, (_VERIFY_SUBJECT, _VERIFY_TEXT), values)


def greet(deps: Deps, session: Session, account_id: str) -> None:
    """Mail the first link to who signed up with an address, inside that transaction."""
    send_verification(deps, session, get_account(session, account_id))


def verify_email(deps: Deps, session: Session, code: str) -> None:
    """Note that mail to the account's address arrives, inside a transaction.

    Who else signs in with this address, and never confirmed it, gets another name: it is for
    whose mailbox it is. Raises LinkInvalid.
    """
    account_id, _, secret = code.partition(".")
    account = _account_of(session, account_id)
    if not use_code(deps, session, VERIFY, secret, f"{account.id}.{account.email}"):
        raise LinkInvalid(LINK_IS_OVER)
    row = update(Account).where(Account.id == account.id, Account.email == account.email)
    session.execute(row.values(email_verified_at=deps.clock()))
    note(deps, session, "account.email_verified", account_id=account.id, subject=account.id)
    if account.email is not None:
        _release_login(deps, session, account.id, account.email)


def _release_login(deps: Deps, session: Session, owner_id: str, address: str) -> None:
    confirmed = and_(Account.email == address, Account.email_verified_at.is_not(None))
    theirs = select(Account).where(
        Account.login == address,
        Account.id != owner_id,
        or_(Account.email.is_(None), not_(confirmed)),
    )
    other = session.scalar(theirs.with_for_update().execution_options(populate_existing=True))
    if other is None:
        return
    other.login = f"name-{secrets.token_hex(6)}"
    other.email = None if other.email == address else other.email
    session.flush()
    note(
        deps,
        session,
        "account.login_changed",
        account_id=None,
        subject=other.id,
        before=address,
        after=other.login,
    )


def _tell_old_address(deps: Deps, session: Session, account: Account) -> None:
    """Tell the address that will not learn of anything else: a thief would change it first."""
    if account.email is not None and account.email_verified_at is not None:
        values = {"login": account.login, "host": deps.settings.public_url}
        _mail(deps, session, account, account.email, (_MOVED_SUBJECT, _MOVED_TEXT), values)


def _account_of(session: Session, account_id: str) -> Account:
    account = session.get(Account, account_id[:64], populate_existing=True)
    if account is None or account.closed_at is not None:
        raise LinkInvalid(LINK_IS_OVER)
    return account


def _fingerprint(account: Account) -> str:
    """Bind a link to password and address: another one of either ends it."""
    known = f"{account.password_hash or ''} {account.email or ''}"
    return f"{account.id}.{hash_secret(known)[:16]}"


def _link(deps: Deps, path: str, code: str) -> str:
    return f"{deps.settings.public_url}{path}?{urlencode({'code': code})}"


def _mail(
    deps: Deps,
    session: Session,
    account: Account,
    to: str,
    words: tuple[str, str],
    values: dict[str, str],
) -> None:
    known = translations(account.locale or "en")
    subject, text = (known.ugettext(one) for one in words)
    try:
        queue_mail(deps, session, to, subject, text % values)
    except InvalidRequest:
        # The address was one when it was kept; nobody is told here.
        return
