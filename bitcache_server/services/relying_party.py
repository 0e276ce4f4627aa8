"""Whom passkeys are made for: this server's domain, where browsers allow it."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from bitcache_server.settings import Settings


@dataclass(frozen=True)
class RelyingParty:
    """Whom a passkey is made for: a domain, and the one origin that may use it."""

    id: str
    origin: str


def relying_party(settings: Settings) -> RelyingParty | None:
    """Return whom passkeys are made for; None where browsers would make none.

    Their identifier is a domain (W3C WebAuthn section 5.1.2), so an address in numbers
    will not do, and the page must be a secure context: https, or localhost.
    """
    parts = urlsplit(settings.public_url)
    host = parts.hostname or ""
    if parts.scheme != "https" and host != "localhost":
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return RelyingParty(host, f"{parts.scheme}://{parts.netloc}")
    return None
