"""Codes that count once: WebAuthn challenges, proofs of work, and forms that show a secret.

A code is signed text that says what it is for and when it was made. Giving one out
writes nothing, so that strangers cannot fill the database by asking; what is stored is
that it was used.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import OneTimeCode
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.codec import TokenUnreadable, codec_for, text_of
from bitcache_server.tokens.secrets import hash_secret

NONCE_BYTES = 16
#: Clocks of two servers may differ by this much; a code from further ahead is refused.
CLOCK_SKEW_S = 60
#: A used code is remembered this much longer than it lives, in case a clock is set back.
KEPT_S = 86_400
_SALT = "bitcache.once.v1."


@dataclass(frozen=True)
class Purpose:
    """What a code is for, and how long it lives. A code for one purpose serves no other."""

    name: str
    lifetime_s: int


def new_code(deps: Deps, purpose: Purpose, subject: str = "") -> str:
    """Return a code for ``subject``: a wallet and browser, or nobody in particular."""
    claims: dict[str, object] = {"s": subject, "n": secrets.token_urlsafe(NONCE_BYTES)}
    secret_key = deps.settings.secret_key.get_secret_value()
    return codec_for(_SALT + purpose.name, (secret_key,)).seal(claims, deps.clock())


def use_code(deps: Deps, session: Session, purpose: Purpose, code: str, subject: str = "") -> bool:
    """Use a code up; return False when it is wrong, over, for another subject, or used.

    Runs in the caller's write transaction: when that fails, the code is as it was.
    """
    made_at = _made_at(deps, purpose, code, subject)
    return made_at is not None and use_once(deps, session, purpose, code, made_at)


def is_ours(deps: Deps, purpose: Purpose, code: str, subject: str = "") -> bool:
    """Say whether a code was given out here for ``subject``, used, over or not. Asks nobody.

    Before work that takes long, which strangers could ask for otherwise.
    """
    return _made_at(deps, purpose, code, subject) is not None


def _made_at(deps: Deps, purpose: Purpose, code: str, subject: str) -> int | None:
    secret_key = deps.settings.secret_key.get_secret_value()
    try:
        claims, made_at = codec_for(_SALT + purpose.name, (secret_key,)).open(code)
        return made_at if text_of(claims, "s") == subject else None
    except TokenUnreadable:
        return None


def use_once(deps: Deps, session: Session, purpose: Purpose, code: str, made_at: int) -> bool:
    """Do as ``use_code`` for a code that somebody else has signed and checked."""
    now = deps.clock()
    if not -CLOCK_SKEW_S <= now - made_at < purpose.lifetime_s:
        return False
    return insert_missing(
        session,
        OneTimeCode,
        code_hash=hash_secret(code),
        purpose=purpose.name,
        data="",
        created_at=made_at,
        expires_at=made_at + purpose.lifetime_s,
        used_at=now,
    )


def forget_one_time_codes(deps: Deps, session: Session) -> int:
    """Delete the codes that ended a day ago; return how many. Opens its transaction."""
    over = delete(OneTimeCode).where(OneTimeCode.expires_at < deps.clock() - KEPT_S)
    with write_transaction(session):
        return len(session.execute(over.returning(OneTimeCode.code_hash)).all())
