"""New ids and secrets, and how a site's secret is kept.

Secrets start with a prefix, so that scanners find the ones that leak. A plain
SHA-256 is right for storing them: they are random, 256 bits long, and nobody
can guess their way back, which slow password hashes are there to prevent.
"""

import hashlib
import hmac
import re
import secrets

SITE_SECRET_PREFIX = "bcsk"  # noqa: S105  # says what a secret is, and is none
GRANT_SECRET_PREFIX = "bcgk"  # noqa: S105  # says what a secret is, and is none
OPERATOR_SECRET_PREFIX = "bcop"  # noqa: S105  # says what a secret is, and is none
API_KEY_PREFIX = "bcak"
SITE_ID_PREFIX = "st"
KEY_ID_PREFIX = "ak"

_ID_BYTES = 16
_SECRET_BYTES = 32
_SITE_SECRET = re.compile(r"bcsk_([A-Za-z0-9_-]{22})_([A-Za-z0-9_-]{43})", re.ASCII)
_SITE_ID = re.compile(r"st_([A-Za-z0-9_-]{22})", re.ASCII)
_API_KEY = re.compile(r"bcak_([A-Za-z0-9_-]{22})_([A-Za-z0-9_-]{43})", re.ASCII)
_KEY_ID = re.compile(r"ak_([A-Za-z0-9_-]{22})", re.ASCII)


def new_id(prefix: str) -> str:
    """Return a new id such as ``it_`` and 22 characters: 128 random bits, safe in a URL."""
    return f"{prefix}_{secrets.token_urlsafe(_ID_BYTES)}"


def new_site_secret(site_id: str) -> str:
    """Return a new secret for a site's server. It names its site, so that it is found fast."""
    match = _SITE_ID.fullmatch(site_id)
    if match is None:
        raise ValueError("That is not the id of a site.")
    return f"{SITE_SECRET_PREFIX}_{match[1]}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def site_of_secret(secret: str) -> str | None:
    """Return the id of the site that a secret names, or None where it names none."""
    match = _SITE_SECRET.fullmatch(secret)
    return f"{SITE_ID_PREFIX}_{match[1]}" if match else None


def new_api_key_secret(key_id: str) -> str:
    """Return a new secret of an API key, which names its key."""
    match = _KEY_ID.fullmatch(key_id)
    if match is None:
        raise ValueError("That is not the id of a key.")
    return f"{API_KEY_PREFIX}_{match[1]}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def key_of_secret(secret: str) -> str | None:
    """Return the id of the API key that a secret names, or None where it names none."""
    match = _API_KEY.fullmatch(secret)
    return f"{KEY_ID_PREFIX}_{match[1]}" if match else None


def hash_secret(secret: str) -> str:
    """Return what is stored of a secret: its SHA-256 in hex."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def secret_matches(secret: str, stored_hash: str) -> bool:
    """Compare a secret with what is stored of it, in constant time."""
    return hmac.compare_digest(hash_secret(secret), stored_hash)


def new_grant_secret() -> str:
    """Return a new secret that signs the grants of a site: ``bcgk_`` and 43 characters."""
    return f"{GRANT_SECRET_PREFIX}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def new_operator_secret() -> str:
    """Return a new secret of a person who approves payouts: ``bcop_`` and 43 characters."""
    return f"{OPERATOR_SECRET_PREFIX}_{secrets.token_urlsafe(_SECRET_BYTES)}"
