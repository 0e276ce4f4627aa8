"""Allowance tokens: what a site's page shows to spend from a reader's balance.

A token names its allowance; the limits stand in the database, where the reader can
change or revoke them. It is signed with the server's secret, so that a made-up one
costs no query. Pages keep it, so the wallet stands in it under a name that is the
site's alone (``holders.py``): two sites cannot tell that they have the same reader.
"""

from dataclasses import dataclass

from bitcache_server.domain.errors import AllowanceInvalid, AllowanceMissing
from bitcache_server.tokens.codec import TokenUnreadable, codec_for, text_of
from bitcache_server.tokens.holders import holder_name, wallet_of_holder

ALLOWANCE_PURPOSE = "bitcache.allowance.v1"


@dataclass(frozen=True)
class AllowanceClaims:
    """What a token says. In the token: w, a, s, o, and the time of signing."""

    wallet: str
    """In the token encrypted, for this site and server."""
    allowance: str
    site: str
    origin: str
    """The one web origin (RFC 6454) whose pages may use it."""


def issue_allowance(secret_key: str, claims: AllowanceClaims, now: int) -> str:
    """Return the token; ``secret_key`` is the server's."""
    payload: dict[str, object] = {
        "w": holder_name(secret_key, claims.site, claims.wallet),
        "a": claims.allowance,
        "s": claims.site,
        "o": claims.origin,
    }
    return codec_for(ALLOWANCE_PURPOSE, (secret_key,)).seal(payload, now)


def read_allowance(secret_key: str, token: str | None) -> AllowanceClaims:
    """Return the claims; raise AllowanceMissing or AllowanceInvalid. Checks no limit."""
    if not token:
        raise AllowanceMissing("Send the allowance as `Authorization: Bearer …`.")
    try:
        claims, _ = codec_for(ALLOWANCE_PURPOSE, (secret_key,)).open(token)
        site = text_of(claims, "s")
        wallet = wallet_of_holder(secret_key, site, text_of(claims, "w"))
        if wallet is None:
            raise TokenUnreadable
        return AllowanceClaims(wallet, text_of(claims, "a"), site, text_of(claims, "o"))
    except TokenUnreadable:
        raise AllowanceInvalid("The allowance was not given out by this server.") from None
