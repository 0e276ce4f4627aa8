"""Names for readers that a merchant may see: the same each time, and of no use elsewhere.

A wallet's id would tell merchants who compare notes which of their readers are one
person. A merchant sees instead the id encrypted with AES-SIV (RFC 5297), which gives
the same name for the same merchant and wallet, and which the server alone turns back
into the wallet: no table of names, and no search through all wallets.
"""

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HOLDER_PREFIX = "ho_"
INVOICE_PREFIX = "in_"
_PURPOSE = b"bitcache.holder.v1"
_KEY_BYTES = 64


def holder_name(secret_key: str, merchant_id: str, wallet_id: str) -> str:
    """Return the name of a wallet for one merchant; ``secret_key`` is the server's."""
    sealed = _cipher(secret_key).encrypt(wallet_id.encode(), [merchant_id.encode()])
    return HOLDER_PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def wallet_of_holder(secret_key: str, merchant_id: str, name: str) -> str | None:
    """Return the wallet behind a name that was made for this merchant, or None."""
    if not name.startswith(HOLDER_PREFIX):
        return None
    text = name.removeprefix(HOLDER_PREFIX)
    try:
        sealed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        return _cipher(secret_key).decrypt(sealed, [merchant_id.encode()]).decode()
    except (InvalidTag, ValueError, binascii.Error):
        return None


def buyer_of_holder(secret_key: str, merchant_id: str, holder: str) -> str:
    """Return the wallet or invoice that a merchant's word for a buyer stands for.

    That is "" for whatever stands for nobody, a wallet's own id among it: no merchant
    is told one.
    """
    if holder.startswith(HOLDER_PREFIX):
        return wallet_of_holder(secret_key, merchant_id, holder) or ""
    return holder if holder.startswith(INVOICE_PREFIX) else ""


@lru_cache(maxsize=4)
def _cipher(secret_key: str) -> AESSIV:
    """Return the cipher under a key of its own, derived from the server's (RFC 5869)."""
    derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE).derive(secret_key.encode())
    return AESSIV(derived)
