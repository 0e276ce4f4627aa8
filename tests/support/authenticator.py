"""A passkey in software: soft-webauthn, speaking the JSON that browsers send."""

import base64
import json
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from soft_webauthn import SoftWebauthnDevice

#: Where the flags stand: after the hash of the domain (W3C WebAuthn section 6.1).
_FLAGS_AT = 32
_USER_VERIFIED = 0x04


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Authenticator:
    """Makes and shows one passkey as ``navigator.credentials`` does."""

    def __init__(self, origin: str, *, verifies: bool = False) -> None:
        """Make one; with ``verifies`` it says that it has seen a finger, a face or a PIN."""
        self.origin = origin
        self.verifies = verifies
        self.device = SoftWebauthnDevice()

    @property
    def credential_id(self) -> str:
        """Return the id of the passkey in base64url."""
        return _text(self.device.credential_id)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """Make a passkey for the options of a registration."""
        public_key = json.loads(json.dumps(options))
        public_key["challenge"] = _bytes(options["challenge"])
        public_key["user"]["id"] = _bytes(options["user"]["id"])
        made = self.device.create({"publicKey": public_key}, self.origin)
        if self.verifies:
            domain = sha256(public_key["rp"]["id"].encode()).digest()
            attested = made["response"]["attestationObject"]
            at = attested.index(domain)
            data = _verified(attested[at:])
            made["response"]["attestationObject"] = attested[:at] + data
        return self._as_json(made)

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """Sign the challenge of a sign-in."""
        public_key = {**options, "challenge": _bytes(options["challenge"])}
        shown = self.device.get({"publicKey": public_key}, self.origin)
        if self.verifies:
            answer = shown["response"]
            answer["authenticatorData"] = data = _verified(answer["authenticatorData"])
            signed = data + sha256(answer["clientDataJSON"]).digest()
            answer["signature"] = self.device.private_key.sign(signed, ECDSA(SHA256()))
        return self._as_json(shown)

    @staticmethod
    def _as_json(credential: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": _text(credential["rawId"]),
            "rawId": _text(credential["rawId"]),
            "type": credential["type"],
            "response": {name: _text(data) for name, data in credential["response"].items()},
        }


def _verified(data: bytes) -> bytes:
    flags = data[_FLAGS_AT] | _USER_VERIFIED
    return data[:_FLAGS_AT] + bytes([flags]) + data[_FLAGS_AT + 1 :]
