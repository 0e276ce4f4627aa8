"""The claim verifier: who created an invoice shows it to collect (as in RFC 7636, S256)."""

import base64
import hashlib
import hmac
import re

from bitcache_server.domain.errors import InvalidRequest

#: RFC 7636 section 4.1: 43 to 128 unreserved characters.
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
#: 32 bytes in base64url without padding; the last character has two spare bits.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)


def challenge_of(verifier: str) -> str:
    """Return base64url(sha256(verifier)) without padding; raise InvalidRequest."""
    if not _VERIFIER.fullmatch(verifier):
        raise InvalidRequest("The verifier is 43 to 128 characters of A-Z a-z 0-9 - . _ ~")
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def check_challenge_format(challenge: str) -> str:
    """Return the challenge when some verifier could belong to it; raise InvalidRequest."""
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequest(
            "The challenge is the SHA-256 of the verifier in base64url: 43 characters, no padding."
        )
    return challenge


def matches(verifier: str, challenge: str) -> bool:
    """Say whether the verifier belongs to the challenge, in constant time.

    A text that is no verifier matches nothing; whoever sends it is not told why.
    """
    try:
        expected = challenge_of(verifier)
    except InvalidRequest:
        return False
    return hmac.compare_digest(expected.encode(), challenge.encode("utf-8", "replace"))
