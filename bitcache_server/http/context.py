"""What a request handler reaches for: dependencies, the session, the caller."""

import ipaddress
from functools import lru_cache
from typing import Any

from flask import current_app, request
from sqlalchemy.orm import Session

from bitcache_server.extensions import db
from bitcache_server.services.deps import Deps, deps_of


def deps() -> Deps:
    """Return the dependencies that ``wiring`` built for this app."""
    return deps_of(current_app)


def session() -> Session:
    """Return the database session of this request."""
    return db.session()


def kept() -> dict[str, Any]:
    """Return what was found out for this request, by name; it is forgotten with the request.

    Flask's ``g`` belongs to the app's context, which may be older and live longer.
    """
    found: dict[str, Any] = request.environ.setdefault("bitcache.kept", {})
    return found


def client_block() -> str:
    """Return the caller's address; for IPv6 its /64, which one household shares."""
    return block_of(request.remote_addr or "unknown")


@lru_cache(maxsize=10_000)
def block_of(address: str) -> str:
    """Return the address, or the /64 of an IPv6 one; what is no address stays as it is.

    A listener on IPv6 sees IPv4 readers as ``::ffff:1.2.3.4`` (RFC 4291 section 2.5.5.2):
    they count as what they are, not as one household.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def page_origin() -> str | None:
    """Return the origin of the page that asks; None for our own pages and for servers."""
    origin = request.headers.get("Origin")
    return None if origin in (None, deps().settings.public_url) else origin
