"""Download tokens: what stands in a URL that a browser follows without headers.

Such a URL is logged and shared, so the token is short-lived, opens one item's
file and nothing else, and names its holder, whose grant is looked up on use.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bitcache_server.domain.errors import LinkExpired, LinkInvalid
from bitcache_server.tokens.codec import Codec, TokenUnreadable, int_of, text_of

DOWNLOAD_PURPOSE = "bitcache.download.v1"

_INVALID = "The link was not given out for this file. Ask for a new one with the grant."

#: From a purpose to its codec, with the secrets of one site.
Codecs = Callable[[str], Codec]


@dataclass(frozen=True)
class DownloadClaims:
    """What a download token says. In the token: s, i, h, r; its time is when it ends."""

    site: str
    item: str
    holder: str
    revision: int
    """With the holder, the grant that the link was given for."""
    expires_at: int
    """The first second at which it opens nothing."""


def issue_download(codecs: Codecs, claims: DownloadClaims) -> str:
    """Return the token, safe in a URL."""
    payload: dict[str, object] = {
        "s": claims.site,
        "i": claims.item,
        "h": claims.holder,
        "r": claims.revision,
    }
    return codecs(DOWNLOAD_PURPOSE).seal(payload, claims.expires_at)


def check_download(codecs: Codecs, token: str, *, site: str, item: str, now: int) -> DownloadClaims:
    """Return the claims of a token for this item at this time; raise LinkInvalid or LinkExpired."""
    try:
        claims, expires_at = codecs(DOWNLOAD_PURPOSE).open(token)
        download = DownloadClaims(
            site=text_of(claims, "s"),
            item=text_of(claims, "i"),
            holder=text_of(claims, "h"),
            revision=int_of(claims, "r"),
            expires_at=expires_at,
        )
    except TokenUnreadable:
        raise LinkInvalid(_INVALID) from None
    if (download.site, download.item) != (site, item):
        raise LinkInvalid(_INVALID)
    if now >= expires_at:
        raise LinkExpired("Ask for a new link with the grant; it costs nothing.")
    return download
