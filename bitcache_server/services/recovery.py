"""The recovery code: what signs in to a wallet or an account where nothing else does.

28 characters of Crockford's base32 (https://www.crockford.com/base32.html), 140 random
bits: nobody can guess one, so a plain SHA-256 is enough to store it.
"""

import re
import secrets
import unicodedata

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RecoveryCodeInvalid
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import RecoveryCode
from bitcache_server.services.browsers import (
    Browser,
    Realm,
    is_confirmed,
    mark_verified,
    open_browser,
    renew_cookie,
    require_confirmation,
)
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.secrets import hash_secret

#: Without I, L, O and U, which are misread or make words.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUPS = 7
GROUP_CHARS = 4
#: More than any way of writing a code needs.
MAX_INPUT_CHARS = 200
_MISREAD = str.maketrans("OIL", "011")
_CODE = re.compile(f"[{ALPHABET}]{{{GROUPS * GROUP_CHARS}}}")
_INVALID = "This recovery code is not valid. Check every character; a newer code replaces an older."


def new_recovery_code(deps: Deps, session: Session, browser: Browser) -> str:
    """Make a code for the owner, in place of the one before, and return it in groups.

    This is the only time that it is known. Raises ConfirmationRequired.
    """
    require_confirmation(deps, session, browser)
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_CHARS)) for _ in range(GROUPS))
    code = "-".join(groups)
    values = {"code_hash": _hash(code), "created_at": deps.clock(), "used_at": None}
    if not insert_missing(session, RecoveryCode, owner_id=browser.owner_id, **values):
        mine = RecoveryCode.owner_id == browser.owner_id
        session.execute(update(RecoveryCode).where(mine).values(**values))
    # Who has just been shown the code need not type it for the next step. The cookie stays:
    # when this answer is lost, nothing but this browser may open the wallet to make another.
    mark_verified(deps, session, browser)
    browser.realm.note(deps, session, browser.owner_id, "recovery_code_made")
    return code


def sign_in_with_code(deps: Deps, session: Session, realm: Realm, text: str, label: str) -> str:
    """Open what a code belongs to in a new browser; return the cookie's value.

    Raises RecoveryCodeInvalid, the same for a code that is misspelt, unknown, replaced,
    of an owner that is closed, or of the other realm.
    """
    owner_id = _owner_of(session, realm, text)
    _mark_used(deps, session, owner_id)
    realm.note(deps, session, owner_id, "recovery_code_used")
    return open_browser(deps, session, realm, owner_id, label, verified=True)


def keep_code(deps: Deps, session: Session, browser: Browser) -> str | None:
    """Return a new cookie to whoever has the code now: copies of the old one are dead.

    None when that is no longer confirmed; then no copy is, either.
    """
    return renew_cookie(session, browser) if is_confirmed(deps, session, browser) else None


def confirm_with_code(deps: Deps, session: Session, browser: Browser, text: str) -> str:
    """Let the owner's own code prove who they are; return the browser's new cookie.

    Raises RecoveryCodeInvalid.
    """
    if _owner_of(session, browser.realm, text) != browser.owner_id:
        raise RecoveryCodeInvalid(_INVALID)
    _mark_used(deps, session, browser.owner_id)
    mark_verified(deps, session, browser)
    return renew_cookie(session, browser)


def recovery_code_made_at(session: Session, owner_id: str) -> int | None:
    """Return when the owner's recovery code was made; None where there is none."""
    query = select(RecoveryCode.created_at).where(RecoveryCode.owner_id == owner_id)
    return session.scalar(query)


def _owner_of(session: Session, realm: Realm, text: str) -> str:
    query = (
        select(RecoveryCode.owner_id)
        # Who is not among the realm's owners is of the other one.
        .join(realm.owners, realm.owners.id == RecoveryCode.owner_id)
        .where(RecoveryCode.code_hash == _hash(text), realm.owners.closed_at.is_(None))
    )
    owner_id = session.scalar(query)
    if owner_id is None:
        raise RecoveryCodeInvalid(_INVALID)
    return owner_id


def _hash(text: str) -> str:
    """Return what is stored of a code, however it was typed. Raises RecoveryCodeInvalid."""
    if len(text) > MAX_INPUT_CHARS:
        raise RecoveryCodeInvalid(_INVALID)
    # Phones write other dashes and wide letters; people take O for 0.
    plain = unicodedata.normalize("NFKC", text).upper()
    code = "".join(c for c in plain if c.isalnum()).translate(_MISREAD)
    if not _CODE.fullmatch(code):
        raise RecoveryCodeInvalid(_INVALID)
    return hash_secret(code)


def _mark_used(deps: Deps, session: Session, owner_id: str) -> None:
    row = update(RecoveryCode).where(RecoveryCode.owner_id == owner_id)
    session.execute(row.values(used_at=deps.clock()))
