"""Signing in with a Lightning wallet (LUD-04, https://github.com/lnurl/luds/blob/luds/04.md).

One browser shows a code, a wallet (often on a phone) signs it, and that browser goes on:
nobody else can, because going on needs a secret that is in its cookie and not in the code.
The first signature counts and the browser asks its reader before it acts on one, so that
whoever scans somebody else's screen neither gets in nor puts the reader into a foreign
wallet unseen. The same works for accounts: a code of one realm serves nothing in the other.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode, urlsplit

from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, der_to_cdata, signature_normalize
from lnurl.helpers import url_encode
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, LoginInvalid
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import LnurlChallenge, LnurlKey
from bitcache_server.services.browsers import (
    Browser,
    Realm,
    mark_verified,
    open_browser,
    renew_cookie,
    require_confirmation,
)
from bitcache_server.services.deps import Deps
from bitcache_server.settings import Settings
from bitcache_server.tokens.secrets import hash_secret

LIFETIME_S = 300
#: How long a challenge is remembered after its end, in case a clock is set back.
KEPT_S = 86_400
MAX_KEYS = 20
_K1_BYTES = 32
_K1 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"0[23][0-9a-f]{64}")
#: DER, at most 72 bytes.
_SIGNATURE = re.compile(r"(?:[0-9a-f]{2}){8,72}")
_OVER = "This code was used or is too old. Ask for a new one in the browser."


class LoginPurpose(StrEnum):
    """What a signature is for. One for one purpose serves no other."""

    SIGN_IN = "sign_in"
    ADD = "add"
    CONFIRM = "confirm"


#: What the wallet tells its owner that they agree to (LUD-04, ``action``).
ACTIONS = {
    LoginPurpose.SIGN_IN: "login",
    LoginPurpose.ADD: "link",
    LoginPurpose.CONFIRM: "auth",
}


@dataclass(frozen=True)
class NewLogin:
    """A challenge, and the secret for the cookie of the browser that shows it."""

    k1: str
    browser_secret: str


@dataclass(frozen=True)
class LoginView:
    """How far a challenge has come, for the browser that shows it."""

    k1: str
    purpose: LoginPurpose
    lnurl: str
    """In capitals, for a QR code."""
    expires_at: int
    key: str | None
    """The key that signed; None until one did."""
    is_known: bool
    """It opens something here already."""


@dataclass(frozen=True)
class KeyView:
    """A Lightning wallet's key for its owner's list."""

    key: str
    created_at: int
    used_at: int | None


def lightning_login_works(settings: Settings) -> bool:
    """Return whether wallets would follow our address: https, or this very machine (LUD-01)."""
    parts = urlsplit(settings.public_url)
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1")


def begin_login(
    deps: Deps, session: Session, realm: Realm, purpose: LoginPurpose, browser: Browser | None
) -> NewLogin:
    """Make a challenge for this browser; for all but a sign-in it holds for ``browser`` alone.

    Raises ConfirmationRequired before a key is added, and InvalidRequest.
    """
    if not lightning_login_works(deps.settings):
        raise InvalidRequest("Signing in with a Lightning wallet needs a server with https.")
    if purpose is LoginPurpose.ADD and browser is not None:
        require_confirmation(deps, session, browser)
        if len(keys_of(session, browser.owner_id)) >= MAX_KEYS:
            raise InvalidRequest(f"At most {MAX_KEYS} Lightning wallets. Remove one first.")
    now = deps.clock()
    new = NewLogin(secrets.token_hex(_K1_BYTES), secrets.token_urlsafe(32))
    session.add(
        LnurlChallenge(
            k1=new.k1,
            realm=realm.name,
            purpose=purpose.value,
            subject=_subject(purpose, browser),
            browser_hash=hash_secret(new.browser_secret),
            key=None,
            created_at=now,
            expires_at=now + LIFETIME_S,
            used_at=None,
        )
    )
    session.flush()
    return new


def sign_login(deps: Deps, session: Session, k1: str, key: str, signature: str) -> None:
    """Take a wallet's signature; the browser that shows the code goes on from there.

    ``signature`` is DER in hex over the bytes of ``k1`` itself. Raises LoginInvalid.
    """
    k1, key, signature = k1.lower(), key.lower(), signature.lower()
    if not _fits(k1, key, signature):
        raise LoginInvalid("The signature does not fit this code.")
    open_one = (
        LnurlChallenge.k1 == k1,
        LnurlChallenge.key.is_(None),
        LnurlChallenge.expires_at > deps.clock(),
    )
    signed = update(LnurlChallenge).where(*open_one).values(key=key).returning(LnurlChallenge.k1)
    if session.execute(signed).first() is None:
        raise LoginInvalid(_OVER)


def login_view(
    deps: Deps, session: Session, realm: Realm, k1: str, browser_secret: str
) -> LoginView:
    """Return how far it has come; raise LoginInvalid for another browser, or when it is over."""
    query = select(
        LnurlChallenge.purpose, LnurlChallenge.key, LnurlChallenge.expires_at
    ).where(
        LnurlChallenge.k1 == k1,
        LnurlChallenge.realm == realm.name,
        LnurlChallenge.browser_hash == hash_secret(browser_secret),
        LnurlChallenge.used_at.is_(None),
        LnurlChallenge.expires_at > deps.clock(),
    )  # fmt: skip
    found = session.execute(query).one_or_none()
    if found is None:
        raise LoginInvalid(_OVER)
    purpose = LoginPurpose(found.purpose)
    return LoginView(
        k1=k1,
        purpose=purpose,
        lnurl=login_lnurl(deps.settings, k1, purpose),
        expires_at=found.expires_at,
        key=found.key,
        is_known=found.key is not None and _owner_of(session, realm, found.key) is not None,
    )


def login_lnurl(settings: Settings, k1: str, purpose: LoginPurpose) -> str:
    """Return what a wallet scans (LUD-01): the address of /lnurl/auth, in bech32 capitals."""
    query = urlencode({"tag": "login", "k1": k1, "action": ACTIONS[purpose]})
    return str(url_encode(f"{settings.public_url}/lnurl/auth?{query}")).upper()


def finish_sign_in(
    deps: Deps,
    session: Session,
    realm: Realm,
    k1: str,
    browser_secret: str,
    label: str,
    new_owner: Callable[[], str] | None,
) -> str:
    """Open what the key that signed belongs to; return the cookie's value.

    A key that opens nothing yet gets what ``new_owner`` makes. Raises LoginInvalid.
    """
    key = _use(deps, session, realm, LoginPurpose.SIGN_IN, k1, browser_secret, None)
    owner_id = _owner_of(session, realm, key)
    if owner_id is None:
        if new_owner is None:
            raise LoginInvalid(realm.words.opens_nothing)
        owner_id = new_owner()
        _keep(deps, session, realm, key, owner_id)
    _mark_used(deps, session, realm, key)
    realm.note(deps, session, owner_id, "signed_in_by_lightning")
    return open_browser(deps, session, realm, owner_id, label, verified=True)


def finish_adding(
    deps: Deps, session: Session, browser: Browser, k1: str, browser_secret: str
) -> str:
    """Let the key that signed open this owner from now on; return the browser's new cookie.

    Raises LoginInvalid, also for a key that opens another, and ConfirmationRequired.
    """
    require_confirmation(deps, session, browser)
    realm = browser.realm
    key = _use(deps, session, realm, LoginPurpose.ADD, k1, browser_secret, browser)
    _keep(deps, session, realm, key, browser.owner_id)
    realm.note(deps, session, browser.owner_id, "lightning_wallet_added")
    mark_verified(deps, session, browser)
    return renew_cookie(session, browser)


def finish_confirmation(
    deps: Deps, session: Session, browser: Browser, k1: str, browser_secret: str
) -> str:
    """Let a key of this very owner prove who they are; return the new cookie.

    Raises LoginInvalid.
    """
    realm = browser.realm
    key = _use(deps, session, realm, LoginPurpose.CONFIRM, k1, browser_secret, browser)
    if _owner_of(session, realm, key) != browser.owner_id:
        raise LoginInvalid(realm.words.other_key)
    _mark_used(deps, session, realm, key)
    mark_verified(deps, session, browser)
    return renew_cookie(session, browser)


def keys_of(session: Session, owner_id: str) -> list[KeyView]:
    """Return the keys that open a wallet or an account, in the order in which they came."""
    query = (
        select(LnurlKey.key, LnurlKey.created_at, LnurlKey.used_at)
        .where(LnurlKey.owner_id == owner_id)
        .order_by(LnurlKey.created_at, LnurlKey.key)
    )
    return [KeyView(*row) for row in session.execute(query)]


def remove_key(deps: Deps, session: Session, browser: Browser, key: str) -> None:
    """Forget a key of the owner, unless it is gone already. Raises ConfirmationRequired."""
    require_confirmation(deps, session, browser)
    mine = (LnurlKey.key == key, LnurlKey.owner_id == browser.owner_id)
    session.execute(delete(LnurlKey).where(*mine))
    browser.realm.require_way_in(session, browser.owner_id)
    browser.realm.note(deps, session, browser.owner_id, "lightning_wallet_removed")


def forget_challenges(deps: Deps, session: Session) -> int:
    """Delete the challenges that ended a day ago; return how many. Opens its transaction."""
    over = delete(LnurlChallenge).where(LnurlChallenge.expires_at < deps.clock() - KEPT_S)
    with write_transaction(session):
        return len(session.execute(over.returning(LnurlChallenge.k1)).all())


def _subject(purpose: LoginPurpose, browser: Browser | None) -> str:
    if purpose is LoginPurpose.SIGN_IN:
        return ""
    if browser is None:
        raise InvalidRequest("Sign in first.")
    return f"{browser.owner_id}.{browser.session_id}"


def _fits(k1: str, key: str, signature: str) -> bool:
    if not _K1.fullmatch(k1) or not _KEY.fullmatch(key) or not _SIGNATURE.fullmatch(signature):
        return False
    try:
        # libsecp256k1 verifies low-S signatures only (BIP 146); wallets in browsers make others.
        _, low_s = signature_normalize(der_to_cdata(bytes.fromhex(signature)))
        public_key = PublicKey(bytes.fromhex(key))
        return public_key.verify(cdata_to_der(low_s), bytes.fromhex(k1), hasher=None)
    except ValueError:  # No point of the curve, or no DER.
        return False


def _use(
    deps: Deps,
    session: Session,
    realm: Realm,
    purpose: LoginPurpose,
    k1: str,
    browser_secret: str,
    browser: Browser | None,
) -> str:
    """Use a signed challenge up and return who signed; raise LoginInvalid."""
    mine = (
        LnurlChallenge.k1 == k1,
        LnurlChallenge.realm == realm.name,
        LnurlChallenge.purpose == purpose.value,
        LnurlChallenge.subject == _subject(purpose, browser),
        LnurlChallenge.browser_hash == hash_secret(browser_secret),
        LnurlChallenge.key.is_not(None),
        LnurlChallenge.used_at.is_(None),
        LnurlChallenge.expires_at > deps.clock(),
    )
    used = update(LnurlChallenge).where(*mine).values(used_at=deps.clock())
    key: str | None = session.scalar(used.returning(LnurlChallenge.key))
    if key is None:
        raise LoginInvalid(_OVER)
    return key


def _owner_of(session: Session, realm: Realm, key: str) -> str | None:
    query = select(LnurlKey.owner_id).where(LnurlKey.key == key, LnurlKey.realm == realm.name)
    return session.scalar(query)


def _keep(deps: Deps, session: Session, realm: Realm, key: str, owner_id: str) -> None:
    values = {"owner_id": owner_id, "created_at": deps.clock(), "used_at": None}
    if not insert_missing(session, LnurlKey, key=key, realm=realm.name, **values):
        raise LoginInvalid(realm.words.key_in_use)


def _mark_used(deps: Deps, session: Session, realm: Realm, key: str) -> None:
    row = update(LnurlKey).where(LnurlKey.key == key, LnurlKey.realm == realm.name)
    session.execute(row.values(used_at=deps.clock()))
