"""Web origins (RFC 6454) as merchants write them."""

import ipaddress
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidOrigin
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import SiteOrigin

DEFAULT_PORTS = {"http": 80, "https": 443}


def normalise_origin(text: str) -> str:
    """Return ``scheme://host[:port]`` in lower case, without a default port.

    Raises InvalidOrigin for anything with a path, a wildcard or credentials: an
    origin that is only nearly right would silently shut readers out. The error
    suggests the nearest origin.
    """
    origin, is_exact = _read(text)
    if not is_exact:
        raise InvalidOrigin(
            _("“%(text)s” is not an origin. Write %(origin)s"),
            text=text[:80],
            origin=_suggestion(text, origin),
        )
    return origin


def is_local(host: str) -> bool:
    """Return whether a host name means the reader's own machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read(text: str) -> tuple[str, bool]:
    """Return the origin of an address, and whether the text says nothing else.

    The origin is empty where there is none. Raises InvalidOrigin for a broken host or port.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise InvalidOrigin(_("“%(text)s” is not an origin."), text=text[:80]) from error
    if parts.scheme not in DEFAULT_PORTS or not host or "*" in host:
        return "", False
    more = parts.username or parts.query or parts.fragment or parts.path not in ("", "/")
    if ":" in host:
        host = f"[{host}]"
    suffix = f":{port}" if port and port != DEFAULT_PORTS[parts.scheme] else ""
    return f"{parts.scheme}://{host}{suffix}", not more


def _suggestion(text: str, origin: str) -> str:
    """Return what was probably meant; an example where that cannot be told."""
    if origin:
        return origin
    text = text.strip()
    if "://" not in text and "*" not in text:
        try:
            host = urlsplit(f"//{text}").hostname or ""
            scheme = "http" if is_local(host) else "https"
            origin, _ = _read(f"{scheme}://{text}")
        except (InvalidOrigin, ValueError):
            origin = ""
    return origin or "https://www.example.org"


def origins_of(session: Session, site_id: str) -> frozenset[str]:
    """Return the origins whose pages may show the wall of a site."""
    rows = session.scalars(select(SiteOrigin.origin).where(SiteOrigin.site_id == site_id))
    return frozenset(rows)


def is_any_sites_origin(session: Session, origin: str) -> bool:
    """Return whether some site has this origin. Enough for a CORS preflight only."""
    found = session.scalar(select(SiteOrigin.site_id).where(SiteOrigin.origin == origin).limit(1))
    return found is not None
