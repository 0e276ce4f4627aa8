"""Passkeys: WebAuthn credentials that sign in to a wallet (https://www.w3.org/TR/webauthn-3/).

The cryptography is py_webauthn's. Ours is what it leaves to the caller: each challenge
counts once, for one purpose and one browser; a passkey opens only its own wallet; the
signature counter never goes back.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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
from bitcache_server.services.deps import Deps
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.wallets import (
    MAX_LABEL_CHARS,
    Holder,
    mark_verified,
    open_session,
    renew_cookie,
    require_confirmation,
)
from bitcache_server.settings import Settings

CHALLENGE_LIFETIME_S = 300
MAX_PASSKEYS = 20
REGISTER = Purpose("passkey_register", CHALLENGE_LIFETIME_S)
SIGN_IN = Purpose("passkey_sign_in", CHALLENGE_LIFETIME_S)
CONFIRM = Purpose("passkey_confirm", CHALLENGE_LIFETIME_S)
_OWN_NAME = "Bitcache"
#: At most 1,023 bytes (section 5.8.3 of the specification) in base64url.
_CREDENTIAL_ID = re.compile(r"[A-Za-z0-9_-]{1,1364}", re.ASCII)
#: Says no more on purpose: whoever tries learns nothing from it.
_REFUSED = "The passkey was not accepted. Try again, or use the recovery code."

#: A credential as browsers give it: RegistrationResponseJSON or AuthenticationResponseJSON.
Credential = dict[str, Any]


@dataclass(frozen=True)
class RelyingParty:
    """Whom a passkey is made for: a domain, and the one origin that may use it."""

    id: str
    origin: str


@dataclass(frozen=True)
class PasskeyView:
    """A passkey for the reader's list."""

    credential_id: str
    label: str
    created_at: int
    used_at: int | None


def relying_party(settings: Settings) -> RelyingParty | None:
    """Return whom passkeys are made for; None where browsers would make none.

    Their identifier is a domain (W3C WebAuthn section 5.1.2), so an address in numbers
    will not do, and the page must be a secure context: https, or localhost.
    """
    parts = urlsplit(settings.public_url)
    host = parts.hostname or ""
    if parts.scheme != "https" and host != "localhost":
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return RelyingParty(host, f"{parts.scheme}://{parts.netloc}")
    return None


def begin_registration(deps: Deps, session: Session, holder: Holder) -> str:
    """Return the options for ``navigator.credentials.create`` as JSON.

    Raises ConfirmationRequired, and InvalidRequest when the wallet has enough of them.
    """
    require_confirmation(deps, session, holder)
    known = _credential_ids(session, holder.wallet_id)
    if len(known) >= MAX_PASSKEYS:
        raise InvalidRequest(f"A wallet has at most {MAX_PASSKEYS} passkeys. Remove one first.")
    party = _party(deps)
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=_OWN_NAME,
        user_id=holder.wallet_id.encode(),
        # What the browser's list of passkeys shows; four characters tell wallets apart.
        user_name=f"Wallet {holder.wallet_id[-4:]} at {party.id}",
        challenge=_challenge(deps, REGISTER, holder),
        timeout=CHALLENGE_LIFETIME_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            # Discoverable: the reader signs in without a name.
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
    )
    return webauthn.options_to_json(options)


def finish_registration(
    deps: Deps, session: Session, holder: Holder, credential: Credential, label: str
) -> str:
    """Keep a new passkey of the wallet; return the browser's new cookie. Raises PasskeyInvalid."""
    challenge = _use_challenge(deps, session, REGISTER, credential, holder)
    verified = _verify_registration(_party(deps), credential, challenge)
    credential_id = bytes_to_base64url(verified.credential_id)
    if not _CREDENTIAL_ID.fullmatch(credential_id):
        raise PasskeyInvalid(_REFUSED)
    is_new = insert_missing(
        session,
        Passkey,
        credential_id=credential_id,
        wallet_id=holder.wallet_id,
        public_key=bytes_to_base64url(verified.credential_public_key),
        sign_count=verified.sign_count,
        label=label[:MAX_LABEL_CHARS],
        created_at=deps.clock(),
        used_at=None,
    )
    if not is_new:
        raise PasskeyInvalid("This passkey is in use already.")
    mark_verified(deps, session, holder)
    return renew_cookie(session, holder)


def begin_sign_in(deps: Deps) -> str:
    """Return the options for ``navigator.credentials.get`` on a browser that knows nobody."""
    return _request_options(deps, _challenge(deps, SIGN_IN, None), [])


def finish_sign_in(deps: Deps, session: Session, credential: Credential, label: str) -> str:
    """Open the passkey's wallet in this browser; return the cookie's value.

    Raises PasskeyInvalid, and UnknownWallet when the reader has deleted the wallet.
    """
    challenge = _use_challenge(deps, session, SIGN_IN, credential, None)
    passkey = _accept(deps, session, credential, challenge)
    return open_session(deps, session, passkey.wallet_id, label, verified=True)


def begin_confirmation(deps: Deps, session: Session, holder: Holder) -> str:
    """Return the options to show one of the wallet's own passkeys once more."""
    known = _credential_ids(session, holder.wallet_id)
    return _request_options(deps, _challenge(deps, CONFIRM, holder), known)


def finish_confirmation(
    deps: Deps, session: Session, holder: Holder, credential: Credential
) -> str:
    """Let a passkey of this very wallet prove who the reader is; return the new cookie.

    Raises PasskeyInvalid.
    """
    challenge = _use_challenge(deps, session, CONFIRM, credential, holder)
    passkey = _accept(deps, session, credential, challenge)
    if passkey.wallet_id != holder.wallet_id:
        raise PasskeyInvalid("This passkey belongs to another wallet.")
    mark_verified(deps, session, holder)
    return renew_cookie(session, holder)


def passkeys_of(session: Session, wallet_id: str) -> list[PasskeyView]:
    """Return the wallet's passkeys in the order in which they were made."""
    query = (
        select(Passkey.credential_id, Passkey.label, Passkey.created_at, Passkey.used_at)
        .where(Passkey.wallet_id == wallet_id)
        .order_by(Passkey.created_at, Passkey.credential_id)
    )
    return [PasskeyView(*row) for row in session.execute(query)]


def remove_passkey(deps: Deps, session: Session, holder: Holder, credential_id: str) -> None:
    """Forget a passkey of the wallet, unless it is gone already. Raises ConfirmationRequired."""
    require_confirmation(deps, session, holder)
    mine = (Passkey.credential_id == credential_id, Passkey.wallet_id == holder.wallet_id)
    session.execute(delete(Passkey).where(*mine))


def _party(deps: Deps) -> RelyingParty:
    party = relying_party(deps.settings)
    if party is None:
        raise InvalidRequest("Passkeys need a server with a domain name and https.")
    return party


def _challenge(deps: Deps, purpose: Purpose, holder: Holder | None) -> bytes:
    return new_code(deps, purpose, _subject(holder)).encode()


def _subject(holder: Holder | None) -> str:
    return f"{holder.wallet_id}.{holder.session_id}" if holder else ""


def _request_options(deps: Deps, challenge: bytes, known: list[bytes]) -> str:
    options = webauthn.generate_authentication_options(
        rp_id=_party(deps).id,
        challenge=challenge,
        timeout=CHALLENGE_LIFETIME_S * 1000,
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return webauthn.options_to_json(options)


def _use_challenge(
    deps: Deps, session: Session, purpose: Purpose, credential: Credential, holder: Holder | None
) -> bytes:
    """Use up the challenge that the browser signed, and return it."""
    try:
        client_data = base64url_to_bytes(credential["response"]["clientDataJSON"])
        challenge = parse_client_data_json(client_data).challenge
        code = challenge.decode("ascii")
    except Exception as error:  # Strangers' bytes: whatever is wrong with them is one thing.
        raise PasskeyInvalid(_REFUSED) from error
    if not use_code(deps, session, purpose, code, _subject(holder)):
        raise PasskeyInvalid("That took too long, or was sent twice. Try again.")
    return challenge


def _verify_registration(
    party: RelyingParty, credential: Credential, challenge: bytes
) -> VerifiedRegistration:
    try:
        return webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
        )
    except Exception as error:  # As in ``_use_challenge``; the library raises all kinds.
        raise PasskeyInvalid(_REFUSED) from error


def _accept(deps: Deps, session: Session, credential: Credential, challenge: bytes) -> Passkey:
    """Return the passkey that signed, with its counter moved on; raise PasskeyInvalid."""
    known = _find(session, credential)
    if known is None:
        raise PasskeyInvalid(_REFUSED)
    verified = _verify(_party(deps), known, credential, challenge)
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
    party: RelyingParty, known: Passkey, credential: Credential, challenge: bytes
) -> VerifiedAuthentication:
    try:
        handle = credential["response"].get("userHandle")
        # Section 7.2 step 6: the account that the authenticator names is the key's owner.
        if handle is not None and base64url_to_bytes(handle) != known.wallet_id.encode():
            raise PasskeyInvalid(_REFUSED)
        return webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=base64url_to_bytes(known.public_key),
            credential_current_sign_count=known.sign_count,
        )
    except Exception as error:  # As in ``_use_challenge``.
        raise PasskeyInvalid(_REFUSED) from error


def _credential_ids(session: Session, wallet_id: str) -> list[bytes]:
    return [base64url_to_bytes(one.credential_id) for one in passkeys_of(session, wallet_id)]
