"""Secrets of readers that must be used again: encrypted where they are stored.

A copy of the database alone opens none of them. AES-SIV (RFC 5297) under a key derived
from the server's ``secret_key`` (RFC 5869), bound to its purpose and its owner, so that
nothing can be moved from one wallet to another.
"""

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"bitcache.sealed.v1:"
_KEY_BYTES = 64


def seal(secret_key: str, purpose: str, owner: str, text: str) -> str:
    """Return the text as it may be stored; ``secret_key`` is the server's."""
    sealed = _cipher(secret_key, purpose).encrypt(text.encode(), [owner.encode()])
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(secret_key: str, purpose: str, owner: str, sealed: str) -> str | None:
    """Return the text; None when it was sealed otherwise, as after a change of the key."""
    try:
        data = base64.urlsafe_b64decode(sealed.encode("ascii"))
        return _cipher(secret_key, purpose).decrypt(data, [owner.encode()]).decode()
    except (InvalidTag, ValueError, binascii.Error):
        return None


@lru_cache(maxsize=8)
def _cipher(secret_key: str, purpose: str) -> AESSIV:
    info = _PURPOSE + purpose.encode()
    return AESSIV(HKDF(SHA256(), _KEY_BYTES, salt=None, info=info).derive(secret_key.encode()))
