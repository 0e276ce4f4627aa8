"""Where a customer goes back to: an address on an origin of the site, nowhere else.

Browsers and Python read strange addresses differently (https://url.spec.whatwg.org), and an
open redirect lives in the difference. So only what both read alike is taken, and what is
returned begins with an origin that the merchant wrote down.
"""

import re
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidOrigin, ReturnUrlRefused
from bitcache_server.i18n import mark as _
from bitcache_server.services.origins import normalise_origin, origins_of

MAX_URL_CHARS = 2_000
#: What RFC 3986 allows, and so no space, backslash, control character or line break.
_ADDRESS = re.compile(r"[Hh][Tt]{2}[Pp][Ss]?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


def check_return_url(session: Session, site_id: str, url: str) -> str:
    """Return the address in normal form; raise ReturnUrlRefused. Only reads.

    Its origin is one of the site's: plain http is for those that the site itself has as http.
    """
    origin, rest = split_address(url)
    if origin not in origins_of(session, site_id):
        raise ReturnUrlRefused(_("%(origin)s is not an origin of this site."), origin=origin)
    return origin + rest


def split_address(url: str) -> tuple[str, str]:
    """Return the origin of a web address and what follows, from the first slash on.

    Raises ReturnUrlRefused for what is no plain absolute address of a web page.
    """
    if len(url) > MAX_URL_CHARS:
        raise ReturnUrlRefused(
            _("%(what)s is longer than %(number)s characters."),
            what=_("The address"),
            number=MAX_URL_CHARS,
        )
    if not _ADDRESS.fullmatch(url):
        raise ReturnUrlRefused(_("Write a whole web address, such as https://www.example.org/done"))
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ReturnUrlRefused(_("The address must not hold a user name."))
        origin = normalise_origin(f"{parts.scheme}://{parts.netloc}")
    except (InvalidOrigin, ValueError):
        raise ReturnUrlRefused(_("The address has no host that can be read.")) from None
    rest = url[len(parts.scheme) + len("://") + len(parts.netloc) :]
    return origin, rest if rest.startswith("/") else f"/{rest}"
