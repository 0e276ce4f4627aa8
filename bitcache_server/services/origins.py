"""Web origins (RFC 6454) as merchants write them."""

from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidOrigin
from bitcache_server.models.catalog import SiteOrigin

DEFAULT_PORTS = {"http": 80, "https": 443}


def normalise_origin(text: str) -> str:
    """Return ``scheme://host[:port]`` in lower case, without a default port.

    Raises InvalidOrigin for anything with a path, a wildcard or credentials: an
    origin that is only nearly right would silently shut readers out.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise InvalidOrigin(f"{text[:80]!r} is not an origin: {error}") from error
    wrong = parts.username or parts.query or parts.fragment or parts.path not in ("", "/")
    if parts.scheme not in DEFAULT_PORTS or not host or wrong or "*" in host:
        raise InvalidOrigin(f"{text[:80]!r} is not an origin. Write https://www.example.org")
    if ":" in host:
        host = f"[{host}]"
    suffix = f":{port}" if port and port != DEFAULT_PORTS[parts.scheme] else ""
    return f"{parts.scheme}://{host}{suffix}"


def origins_of(session: Session, site_id: str) -> frozenset[str]:
    """Return the origins whose pages may show the wall of a site."""
    rows = session.scalars(select(SiteOrigin.origin).where(SiteOrigin.site_id == site_id))
    return frozenset(rows)


def is_any_sites_origin(session: Session, origin: str) -> bool:
    """Return whether some site has this origin. Enough for a CORS preflight only."""
    found = session.scalar(select(SiteOrigin.site_id).where(SiteOrigin.origin == origin).limit(1))
    return found is not None
