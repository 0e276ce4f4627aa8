"""A passkey in software: soft-webauthn, speaking the JSON that browsers send."""

import base64
import json
from typing import Any

from soft_webauthn import SoftWebauthnDevice


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Authenticator:
    """Makes and shows one passkey as ``navigator.credentials`` does."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
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
        return self._as_json(self.device.create({"publicKey": public_key}, self.origin))

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """Sign the challenge of a sign-in."""
        public_key = {**options, "challenge": _bytes(options["challenge"])}
        return self._as_json(self.device.get({"publicKey": public_key}, self.origin))

    @staticmethod
    def _as_json(credential: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": _text(credential["rawId"]),
            "rawId": _text(credential["rawId"]),
            "type": credential["type"],
            "response": {name: _text(data) for name, data in credential["response"].items()},
        }
