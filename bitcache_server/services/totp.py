"""One-time passwords by time (RFC 6238), by pyotp: six digits, 30 seconds, SHA-1, as apps know.

Each password counts once, and clocks may differ by one step. The secret must be used again
and again, so it is encrypted where it is stored (``tokens/sealing.py``).
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

import pyotp
from pyotp.utils import strings_equal
from sqlalchemy import update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, SignInFailed
from bitcache_server.i18n import mark as _
from bitcache_server.models.accounts import Account
from bitcache_server.services.account_sessions import ACCOUNTS
from bitcache_server.services.browsers import Browser, require_confirmation
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.sealing import seal, unseal

STEP_S = 30
DRIFT_STEPS = 1
_PURPOSE = "totp"
WRONG_CODE = _("The code is wrong or was used already. Wait for the next one.")


@dataclass(frozen=True)
class NewSecret:
    """What an app is set up with."""

    secret: str
    uri: str
    """For a QR code: https://github.com/google/google-authenticator/wiki/Key-Uri-Format."""


def begin_totp(deps: Deps, session: Session, browser: Browser) -> None:
    """Make a secret; nothing asks for it until ``turn_on_totp``.

    Raises AccountConfirmationRequired, and InvalidRequest where one is in use.
    """
    require_confirmation(deps, session, browser)
    account = session.get_one(Account, browser.owner_id, populate_existing=True)
    if account.totp_confirmed_at is not None:
        raise InvalidRequest("One-time passwords are on already. Turn them off first.")
    account.totp_sealed = seal(_key(deps), _PURPOSE, account.id, pyotp.random_base32())
    session.flush()


def pending_totp(deps: Deps, account: Account) -> NewSecret | None:
    """Return the secret that was made and is not in use yet."""
    secret = _secret(deps, account)
    if secret is None or account.totp_confirmed_at is not None:
        return None
    host = urlsplit(deps.settings.public_url).hostname
    uri = pyotp.TOTP(secret).provisioning_uri(name=account.login, issuer_name=f"Bitcache {host}")
    return NewSecret(secret, uri)


def turn_on_totp(deps: Deps, session: Session, browser: Browser, code: str) -> None:
    """Ask for one-time passwords from now on, once the app has shown a right one.

    Raises InvalidRequest for a wrong one, and AccountConfirmationRequired.
    """
    require_confirmation(deps, session, browser)
    account = session.get_one(Account, browser.owner_id, populate_existing=True)
    if account.totp_confirmed_at is not None or not use_totp(deps, session, account, code):
        raise InvalidRequest(WRONG_CODE)
    account.totp_confirmed_at = deps.clock()
    session.flush()
    ACCOUNTS.note(deps, session, account.id, "totp_on")


def turn_off_totp(deps: Deps, session: Session, browser: Browser) -> None:
    """Ask for them no longer and forget the secret. Raises AccountConfirmationRequired."""
    require_confirmation(deps, session, browser)
    account = session.get_one(Account, browser.owner_id, populate_existing=True)
    was_on = account.totp_confirmed_at is not None
    account.totp_sealed = account.totp_confirmed_at = None
    session.flush()
    if was_on:
        ACCOUNTS.note(deps, session, account.id, "totp_off")


def require_totp(deps: Deps, session: Session, account: Account, code: str) -> None:
    """Use a one-time password up where the account has them; raise SignInFailed."""
    if account.totp_confirmed_at is not None and not use_totp(deps, session, account, code):
        raise SignInFailed()


def use_totp(deps: Deps, session: Session, account: Account, code: str) -> bool:
    """Use a one-time password up; return False when it is wrong, too old or was used."""
    step = _step_of(deps, account, code)
    if step is None:
        return False
    # In the statement itself: two sign-ins at once with one code are one.
    used = (
        update(Account)
        .where(Account.id == account.id, Account.totp_last_step < step)
        .values(totp_last_step=step)
        .returning(Account.id)
        .execution_options(synchronize_session=False)
    )
    return session.execute(used).first() is not None


def _step_of(deps: Deps, account: Account, code: str) -> int | None:
    secret, digits = _secret(deps, account), "".join(code.split())
    if secret is None or not (digits.isascii() and digits.isdigit()):
        return None
    now = deps.clock() // STEP_S
    steps = range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1)
    made = pyotp.TOTP(secret)
    right = [step for step in steps if strings_equal(made.generate_otp(step), digits)]
    return right[-1] if right else None


def _secret(deps: Deps, account: Account) -> str | None:
    if account.totp_sealed is None:
        return None
    return unseal(_key(deps), _PURPOSE, account.id, account.totp_sealed)


def _key(deps: Deps) -> str:
    return deps.settings.secret_key.get_secret_value()
