"""Grants: the signed right of a holder to one item of one site.

A grant is checked offline with the site's secret alone. What can change after
it was signed (a revoked purchase) is the caller's question: ``holder`` and
``revision`` are what to ask about.
"""

import re
from dataclasses import dataclass

from bitcache_server.domain.errors import GrantExpired, GrantInvalid, GrantMissing
from bitcache_server.tokens.codec import (
    Codec,
    TokenUnreadable,
    codec_for,
    int_of,
    text_of,
    unverified_claims,
)
from bitcache_server.tokens.downloads import DownloadClaims, check_download, issue_download

GRANT_PURPOSE = "bitcache.grant.v1"

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_INVALID = "The grant was not given out for this, or not by this server."


@dataclass(frozen=True)
class GrantClaims:
    """What a grant says. In the token: s, i, h, p, e, r, and the time of signing."""

    site: str
    item: str
    holder: str
    """Who bought: an invoice, or the name of a wallet for this merchant (``holders.py``)."""
    price_msat: int
    """What was paid for it."""
    issued_at: int
    expires_at: int | None
    """The first second at which it opens nothing; None is for ever."""
    revision: int
    """Counts the grants that this holder got for this item."""


class GrantSigner:
    """Signs and checks what one site hands out.

    ``secrets`` are newest first: the first one signs, all of them verify.
    """

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = tuple(secrets)
        self._grants = self.codec(GRANT_PURPOSE)

    def codec(self, purpose: str) -> Codec:
        """Return the codec of another purpose with the same secrets."""
        return codec_for(purpose, self._secrets)

    def issue(self, claims: GrantClaims) -> str:
        """Return the grant as text that is safe in a header, a cookie and a URL."""
        payload: dict[str, object] = {
            "s": claims.site,
            "i": claims.item,
            "h": claims.holder,
            "p": claims.price_msat,
            "e": claims.expires_at,
            "r": claims.revision,
        }
        return self._grants.seal(payload, claims.issued_at)

    def check(
        self, token: str | None, *, site: str, now: int, item: str | None = None
    ) -> GrantClaims:
        """Return the claims of a grant for this site and item at this time.

        Without ``item`` it only has to be the site's; the caller then must not
        open anything but ``claims.item``. Raises GrantMissing, GrantExpired, or
        GrantInvalid for everything else that may be wrong. No detail repeats the token.
        """
        if not token:
            raise GrantMissing("Send the grant as `Authorization: Bearer …`.")
        try:
            claims = self._read(token)
        except TokenUnreadable:
            raise GrantInvalid(_INVALID) from None
        if claims.site != site or (item is not None and claims.item != item):
            raise GrantInvalid(_INVALID)
        if claims.expires_at is not None and now >= claims.expires_at:
            raise GrantExpired("The time that was paid for is over.")
        return claims

    def _read(self, token: str) -> GrantClaims:
        claims, issued_at = self._grants.open(token)
        return GrantClaims(
            site=text_of(claims, "s"),
            item=text_of(claims, "i"),
            holder=text_of(claims, "h"),
            price_msat=int_of(claims, "p"),
            issued_at=issued_at,
            expires_at=None if claims.get("e", 0) is None else int_of(claims, "e"),
            revision=int_of(claims, "r"),
        )

    def issue_download(self, claims: DownloadClaims) -> str:
        """Return a short-lived token for one download."""
        return issue_download(self.codec, claims)

    def check_download(self, token: str, *, site: str, item: str, now: int) -> DownloadClaims:
        """Return the claims of a download token; raise LinkInvalid or LinkExpired."""
        return check_download(self.codec, token, site=site, item=item, now=now)


def claimed_site(token: str) -> str:
    """Return the site that a grant names, before anything is verified.

    Only good for finding the secrets that tell whether it is true. Raises GrantInvalid,
    also for a text that is no id: it may be a null byte or half a character, at which
    the database would stumble.
    """
    try:
        site = text_of(unverified_claims(token), "s")
    except TokenUnreadable:
        raise GrantInvalid(_INVALID) from None
    if not _ID.fullmatch(site):
        raise GrantInvalid(_INVALID)
    return site
