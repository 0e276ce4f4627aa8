"""Passkeys: WebAuthn credentials that sign in (https://www.w3.org/TR/webauthn-3/).

The cryptography is py_webauthn's. Ours is what it leaves to the caller: each challenge
counts once, for one purpose and one browser; a passkey opens only the wallet or the account
that it was made for; the signature counter never goes back.
"""

import re
from dataclasses import dataclass
from typing import Any

import webauthn
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_client_data_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from bitcache_server.domain.errors import InvalidRequest, PasskeyInvalid
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import Passkey
from bitcache_server.services.browsers import (
    MAX_LABEL_CHARS,
    Browser,
    Realm,
    mark_verified,
    open_browser,
    renew_cookie,
    require_confirmation,
)
from bitcache_server.services.deps import Deps
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.relying_party import RelyingParty, relying_party

CHALLENGE_LIFETIME_S = 300
MAX_PASSKEYS = 20
REGISTER = Purpose("passkey_register", CHALLENGE_LIFETIME_S)
SIGN_IN = Purpose("passkey_sign_in", CHALLENGE_LIFETIME_S)
CONFIRM = Purpose("passkey_confirm", CHALLENGE_LIFETIME_S)
OPEN = Purpose("passkey_open", CHALLENGE_LIFETIME_S)
_OWN_NAME = "Bitcache"
#: At most 1,023 bytes (section 5.8.3 of the specification) in base64url.
_CREDENTIAL_ID = re.compile(r"[A-Za-z0-9_-]{1,1364}", re.ASCII)
#: Says no more on purpose: whoever tries learns nothing from it.
_REFUSED = "The passkey was not accepted. Try again, or use the recovery code."

#: A credential as browsers give it: RegistrationResponseJSON or AuthenticationResponseJSON.
Credential = dict[str, Any]


@dataclass(frozen=True)
class PasskeyView:
    """A passkey for its owner's list."""

    credential_id: str
    label: str
    created_at: int
    used_at: int | None


def begin_registration(deps: Deps, session: Session, browser: Browser) -> str:
    """Return the options for ``navigator.credentials.create`` as JSON.

    Raises ConfirmationRequired or its like, and InvalidRequest when there are enough of them.
    """
    require_confirmation(deps, session, browser)
    realm, known = browser.realm, _credential_ids(session, browser.owner_id)
    if len(known) >= MAX_PASSKEYS:
        raise InvalidRequest(realm.words.too_many_passkeys)
    challenge = _challenge(deps, REGISTER, _subject(realm, browser))
    name = realm.passkey_name(session, browser.owner_id)
    return _creation_options(deps, realm, browser.owner_id, name, challenge, known)


def finish_registration(
    deps: Deps, session: Session, browser: Browser, credential: Credential, label: str
) -> str:
    """Keep a new passkey; return the browser's new cookie. Raises PasskeyInvalid."""
    realm = browser.realm
    challenge = _use_challenge(deps, session, REGISTER, credential, _subject(realm, browser))
    _keep(deps, session, realm, browser.owner_id, credential, challenge, label)
    realm.note(deps, session, browser.owner_id, "passkey_added")
    mark_verified(deps, session, browser)
    return renew_cookie(session, browser)


def begin_opening(deps: Deps, realm: Realm, owner_id: str, name: str) -> str:
    """Return the options to make a passkey for an owner who is about to be: ``owner_id``."""
    challenge = _challenge(deps, OPEN, owner_id)
    return _creation_options(deps, realm, owner_id, name, challenge, [])


def finish_opening(
    deps: Deps, session: Session, realm: Realm, owner_id: str, credential: Credential, label: str
) -> None:
    """Keep the passkey of an owner who has just been made. Raises PasskeyInvalid."""
    challenge = _use_challenge(deps, session, OPEN, credential, owner_id)
    _keep(deps, session, realm, owner_id, credential, challenge, label)


def begin_sign_in(deps: Deps, realm: Realm) -> str:
    """Return the options for ``navigator.credentials.get`` on a browser that knows nobody."""
    return _request_options(deps, realm, _challenge(deps, SIGN_IN, _subject(realm, None)), [])


def finish_sign_in(
    deps: Deps, session: Session, realm: Realm, credential: Credential, label: str
) -> str:
    """Open what the passkey was made for in this browser; return the cookie's value.

    Raises PasskeyInvalid, and the realm's ``unknown`` for an owner that is closed.
    """
    challenge = _use_challenge(deps, session, SIGN_IN, credential, _subject(realm, None))
    passkey = _accept(deps, session, realm, credential, challenge)
    realm.note(deps, session, passkey.owner_id, "signed_in_by_passkey")
    return open_browser(deps, session, realm, passkey.owner_id, label, verified=True)


def begin_confirmation(deps: Deps, session: Session, browser: Browser) -> str:
    """Return the options to show one of the owner's own passkeys once more."""
    known = _credential_ids(session, browser.owner_id)
    realm = browser.realm
    return _request_options(deps, realm, _challenge(deps, CONFIRM, _subject(realm, browser)), known)


def finish_confirmation(
    deps: Deps, session: Session, browser: Browser, credential: Credential
) -> str:
    """Let a passkey of this very owner prove who they are; return the new cookie.

    Raises PasskeyInvalid.
    """
    realm = browser.realm
    challenge = _use_challenge(deps, session, CONFIRM, credential, _subject(realm, browser))
    passkey = _accept(deps, session, realm, credential, challenge)
    if passkey.owner_id != browser.owner_id:
        raise PasskeyInvalid(realm.words.other_passkey)
    mark_verified(deps, session, browser)
    return renew_cookie(session, browser)


def passkeys_of(session: Session, owner_id: str) -> list[PasskeyView]:
    """Return the owner's passkeys in the order in which they were made."""
    query = (
        select(Passkey.credential_id, Passkey.label, Passkey.created_at, Passkey.used_at)
        .where(Passkey.owner_id == owner_id)
        .order_by(Passkey.created_at, Passkey.credential_id)
    )
    return [PasskeyView(*row) for row in session.execute(query)]


def remove_passkey(deps: Deps, session: Session, browser: Browser, credential_id: str) -> None:
    """Forget a passkey of the owner, unless it is gone already. Raises ConfirmationRequired."""
    require_confirmation(deps, session, browser)
    mine = (Passkey.credential_id == credential_id, Passkey.owner_id == browser.owner_id)
    session.execute(delete(Passkey).where(*mine))
    browser.realm.require_way_in(session, browser.owner_id)
    browser.realm.note(deps, session, browser.owner_id, "passkey_removed")


def _party(deps: Deps) -> RelyingParty:
    party = relying_party(deps.settings)
    if party is None:
        raise InvalidRequest("Passkeys need a server with a domain name and https.")
    return party


def _challenge(deps: Deps, purpose: Purpose, subject: str) -> bytes:
    return new_code(deps, purpose, subject).encode()


def _subject(realm: Realm, browser: Browser | None) -> str:
    return f"{browser.owner_id}.{browser.session_id}" if browser else realm.name


def _verification(realm: Realm) -> UserVerificationRequirement:
    required, preferred = (
        UserVerificationRequirement.REQUIRED,
        UserVerificationRequirement.PREFERRED,
    )
    return required if realm.user_verification else preferred


def _creation_options(
    deps: Deps, realm: Realm, owner_id: str, name: str, challenge: bytes, known: list[bytes]
) -> str:
    party = _party(deps)
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=_OWN_NAME,
        user_id=owner_id.encode(),
        # What the browser's list of passkeys shows.
        user_name=f"{name} at {party.id}",
        challenge=challenge,
        timeout=CHALLENGE_LIFETIME_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            # Discoverable: the person signs in without a name.
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=_verification(realm),
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
    )
    return webauthn.options_to_json(options)


def _keep(
    deps: Deps,
    session: Session,
    realm: Realm,
    owner_id: str,
    credential: Credential,
    challenge: bytes,
    label: str,
) -> None:
    verified = _verify_registration(_party(deps), realm, credential, challenge)
    credential_id = bytes_to_base64url(verified.credential_id)
    if not _CREDENTIAL_ID.fullmatch(credential_id):
        raise PasskeyInvalid(_REFUSED)
    is_new = insert_missing(
        session,
        Passkey,
        credential_id=credential_id,
        owner_id=owner_id,
        public_key=bytes_to_base64url(verified.credential_public_key),
        sign_count=verified.sign_count,
        label=label[:MAX_LABEL_CHARS],
        created_at=deps.clock(),
        used_at=None,
    )
    if not is_new:
        raise PasskeyInvalid("This passkey is in use already.")


def _request_options(deps: Deps, realm: Realm, challenge: bytes, known: list[bytes]) -> str:
    options = webauthn.generate_authentication_options(
        rp_id=_party(deps).id,
        challenge=challenge,
        timeout=CHALLENGE_LIFETIME_S * 1000,
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        user_verification=_verification(realm),
    )
    return webauthn.options_to_json(options)


def _use_challenge(
    deps: Deps, session: Session, purpose: Purpose, credential: Credential, subject: str
) -> bytes:
    """Use up the challenge that the browser signed, and return it."""
    try:
        client_data = base64url_to_bytes(credential["response"]["clientDataJSON"])
        challenge = parse_client_data_json(client_data).challenge
        code = challenge.decode("ascii")
    except Exception as error:  # Strangers' bytes: whatever is wrong with them is one thing.
        raise PasskeyInvalid(_REFUSED) from error
    if not use_code(deps, session, purpose, code, subject):
        raise PasskeyInvalid("That took too long, or was sent twice. Try again.")
    return challenge


def _verify_registration(
    party: RelyingParty, realm: Realm, credential: Credential, challenge: bytes
) -> VerifiedRegistration:
    try:
        return webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=realm.user_verification,
        )
    except Exception as error:  # As in ``_use_challenge``; the library raises all kinds.
        raise PasskeyInvalid(_REFUSED) from error


def _accept(
    deps: Deps, session: Session, realm: Realm, credential: Credential, challenge: bytes
) -> Passkey:
    """Return the passkey that signed, with its counter moved on; raise PasskeyInvalid."""
    known = _find(session, credential)
    if known is None or not realm.owns(known.owner_id):
        raise PasskeyInvalid(_REFUSED)
    verified = _verify(_party(deps), realm, known, credential, challenge)
    # Once more in the statement itself: two answers with one counter count once. Passkeys
    # that are synchronised between devices have no counter; theirs stays 0.
    counted = or_(Passkey.sign_count < verified.new_sign_count, Passkey.sign_count == 0)
    moved = (
        update(Passkey)
        .where(Passkey.credential_id == known.credential_id, counted)
        .values(sign_count=verified.new_sign_count, used_at=deps.clock())
        .returning(Passkey.credential_id)
    )
    if session.execute(moved).first() is None:
        raise PasskeyInvalid(_REFUSED)
    return known


def _find(session: Session, credential: Credential) -> Passkey | None:
    credential_id = credential.get("id")
    if not isinstance(credential_id, str) or not _CREDENTIAL_ID.fullmatch(credential_id):
        return None
    query = select(Passkey).where(Passkey.credential_id == credential_id)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _verify(
    party: RelyingParty, realm: Realm, known: Passkey, credential: Credential, challenge: bytes
) -> VerifiedAuthentication:
    try:
        handle = credential["response"].get("userHandle")
        # Section 7.2 step 6: the account that the authenticator names is the key's owner.
        if handle is not None and base64url_to_bytes(handle) != known.owner_id.encode():
            raise PasskeyInvalid(_REFUSED)
        return webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(known.public_key),
            credential_current_sign_count=known.sign_count,
            require_user_verification=realm.user_verification,
        )
    except Exception as error:  # As in ``_use_challenge``.
        raise PasskeyInvalid(_REFUSED) from error


def _credential_ids(session: Session, owner_id: str) -> list[bytes]:
    return [base64url_to_bytes(one.credential_id) for one in passkeys_of(session, owner_id)]
