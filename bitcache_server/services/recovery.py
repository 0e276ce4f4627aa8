"""The recovery code: what signs in to a wallet where there is no passkey.

28 characters of Crockford's base32 (https://www.crockford.com/base32.html), 140 random
bits: nobody can guess one, so a plain SHA-256 is enough to store it.
"""

import re
import secrets
import unicodedata

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import RecoveryCodeInvalid
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import RecoveryCode
from bitcache_server.services.deps import Deps
from bitcache_server.services.wallets import (
    Holder,
    is_confirmed,
    mark_verified,
    open_session,
    renew_cookie,
    require_confirmation,
)
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


def new_recovery_code(deps: Deps, session: Session, holder: Holder) -> str:
    """Make a code for the wallet, in place of the one before, and return it in groups.

    This is the only time that it is known. Raises ConfirmationRequired.
    """
    require_confirmation(deps, session, holder)
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_CHARS)) for _ in range(GROUPS))
    code = "-".join(groups)
    values = {"code_hash": _hash(code), "created_at": deps.clock(), "used_at": None}
    if not insert_missing(session, RecoveryCode, wallet_id=holder.wallet_id, **values):
        mine = RecoveryCode.wallet_id == holder.wallet_id
        session.execute(update(RecoveryCode).where(mine).values(**values))
    # Who has just been shown the code need not type it for the next step. The cookie stays:
    # when this answer is lost, nothing but this browser opens the wallet to make another.
    mark_verified(deps, session, holder)
    return code


def sign_in_with_code(deps: Deps, session: Session, text: str, label: str) -> str:
    """Open the wallet of a code in a new browser; return the cookie's value.

    Raises RecoveryCodeInvalid, the same for a code that is misspelt, unknown, replaced,
    or of a wallet that was deleted.
    """
    wallet_id = _wallet_of(session, text)
    _mark_used(deps, session, wallet_id)
    return open_session(deps, session, wallet_id, label, verified=True)


def keep_code(deps: Deps, session: Session, holder: Holder) -> str | None:
    """Return a new cookie to a reader who has the code now: copies of the old one are dead.

    None when that is no longer confirmed; then no copy is, either.
    """
    return renew_cookie(session, holder) if is_confirmed(deps, session, holder) else None


def confirm_with_code(deps: Deps, session: Session, holder: Holder, text: str) -> str:
    """Let the wallet's own code prove who the reader is; return the browser's new cookie.

    Raises RecoveryCodeInvalid.
    """
    if _wallet_of(session, text) != holder.wallet_id:
        raise RecoveryCodeInvalid(_INVALID)
    _mark_used(deps, session, holder.wallet_id)
    mark_verified(deps, session, holder)
    return renew_cookie(session, holder)


def recovery_code_made_at(session: Session, wallet_id: str) -> int | None:
    """Return when the wallet's recovery code was made; None where it has none."""
    query = select(RecoveryCode.created_at).where(RecoveryCode.wallet_id == wallet_id)
    return session.scalar(query)


def _wallet_of(session: Session, text: str) -> str:
    query = (
        select(RecoveryCode.wallet_id)
        .join(Wallet, Wallet.id == RecoveryCode.wallet_id)
        .where(RecoveryCode.code_hash == _hash(text), Wallet.closed_at.is_(None))
    )
    wallet_id = session.scalar(query)
    if wallet_id is None:
        raise RecoveryCodeInvalid(_INVALID)
    return wallet_id


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


def _mark_used(deps: Deps, session: Session, wallet_id: str) -> None:
    row = update(RecoveryCode).where(RecoveryCode.wallet_id == wallet_id)
    session.execute(row.values(used_at=deps.clock()))
