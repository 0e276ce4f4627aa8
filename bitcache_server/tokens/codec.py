"""Claims to signed text and back: the one place that knows itsdangerous.

docs/grants.md gives the exact bytes, and tests/vectors the examples that every
implementation must read alike. Stricter than itsdangerous in two points:

* Payloads are never compressed and compressed ones are refused. A token of
  4 kB could otherwise inflate to megabytes, and verifiers in other languages
  would need zlib as well as HMAC.
* There is one spelling. Python's base64 skips characters that it does not know
  and ignores spare bits at the end, so that one signature would have many
  texts; PHP and JavaScript would take fewer of them than we do.
"""

import hashlib
import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode, want_bytes

MAX_TOKEN_CHARS = 4096

#: payload.time.signature in base64url: five bytes of time last beyond the year 9999, and
#: the last character of 32 bytes has two spare bits, which are zero.
_TOKEN = re.compile(
    r"[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{2,7}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII
)


class TokenUnreadable(Exception):
    """The text is not a token of this purpose and these secrets. Says no more than that."""


class _Signer(TimestampSigner):
    """Signs with the time that it is given, and derives each key once."""

    def __init__(self, secrets: list[bytes], salt: bytes, signed_at: int = 0) -> None:
        super().__init__(secrets, salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._signed_at = signed_at
        derive = super().derive_key
        self._derived = {secret: derive(secret) for secret in self.secret_keys}

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        return self._derived[self.secret_key if secret_key is None else want_bytes(secret_key)]

    def get_timestamp(self) -> int:
        return self._signed_at


class _Serializer(URLSafeTimedSerializer):
    """URLSafeTimedSerializer without compression and with one signer for all checks."""

    def __init__(self, secrets_oldest_first: list[bytes], salt: bytes) -> None:
        super().__init__(secrets_oldest_first, salt)
        self._salt = salt
        self._checker = _Signer(self.secret_keys, salt)

    def dump_payload(self, obj: object) -> bytes:
        return base64_encode(self.serializer.dumps(obj))

    def dumps_at(self, obj: dict[str, object], signed_at: int) -> str:
        signer = _Signer(self.secret_keys, self._salt, signed_at)
        return signer.sign(self.dump_payload(obj)).decode("ascii")

    def loads_with_time(self, token: str) -> tuple[object, datetime]:
        # As TimedSerializer.loads, with the signer that has its keys derived.
        payload, signed_at = self._checker.unsign(token, return_timestamp=True)
        return self.load_payload(payload), signed_at


class Codec:
    """Seals claims for one purpose with the newest secret; opens what any of them sealed."""

    def __init__(self, purpose: str, secrets: tuple[str, ...]) -> None:
        """Take the salt of the purpose and the secrets, newest first."""
        if not secrets or not all(secrets):
            raise ValueError("A secret is needed to sign tokens.")
        # itsdangerous wants them oldest first.
        oldest_first = [secret.encode() for secret in reversed(secrets)]
        self._serializer = _Serializer(oldest_first, purpose.encode())

    def seal(self, claims: dict[str, object], signed_at: int) -> str:
        """Return the token; ``signed_at`` (Unix seconds) stands in it, too."""
        token = self._serializer.dumps_at(claims, signed_at)
        if not _is_token(token):
            raise ValueError(f"No token: {len(token)} characters, signed at {signed_at}.")
        return token

    def open(self, token: object) -> tuple[dict[str, Any], int]:
        """Return the claims and the signing time; raise TokenUnreadable."""
        if not _is_token(token):
            raise TokenUnreadable
        try:
            claims, signed_at = self._serializer.loads_with_time(str(token))
            return _object(claims), int(signed_at.timestamp())
        except (BadData, ValueError, OverflowError):
            raise TokenUnreadable from None


@lru_cache(maxsize=4096)
def codec_for(purpose: str, secrets: tuple[str, ...]) -> Codec:
    """Return the codec, built once: deriving its keys costs as much as a check."""
    return Codec(purpose, secrets)


def unverified_claims(token: object) -> dict[str, Any]:
    """Return what anybody may have written, to look up the secret that tells.

    Raises TokenUnreadable where there is nothing to read.
    """
    if not _is_token(token):
        raise TokenUnreadable
    try:
        return _object(json.loads(base64_decode(str(token).partition(".")[0])))
    except (BadData, ValueError, RecursionError):
        raise TokenUnreadable from None


def text_of(claims: dict[str, Any], key: str) -> str:
    """Return a claim that is a text; raise TokenUnreadable for anything else."""
    value = claims.get(key)
    if not isinstance(value, str):
        raise TokenUnreadable
    return value


def int_of(claims: dict[str, Any], key: str) -> int:
    """Return a claim that is a whole number of 0 or more; raise TokenUnreadable otherwise."""
    value = claims.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TokenUnreadable
    return value


def _is_token(token: object) -> bool:
    return (
        isinstance(token, str)
        and len(token) <= MAX_TOKEN_CHARS
        and _TOKEN.fullmatch(token) is not None
    )


def _object(claims: object) -> dict[str, Any]:
    if not isinstance(claims, dict):
        raise TokenUnreadable
    return claims
