"""What a shop and this server tell each other about an order through a customer's browser.

Two things, with the site's grant secrets and a purpose each, so that neither passes for a
grant or for the other: a link that the shop signs, and a token that we sign on the way back.
docs/orders.md has the exact bytes, tests/vectors/orders.json examples.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from itsdangerous import Signer

from bitcache_server.domain.errors import LinkInvalid
from bitcache_server.tokens.codec import TokenUnreadable, codec_for, int_of, text_of

LINK_PURPOSE = "bitcache.order-link.v1"
ORDER_PURPOSE = "bitcache.order.v1"
#: What a link says, all of it signed; other parameters of an address mean nothing.
LINK_PARAMETERS = (
    "amount",
    "cancel_url",
    "currency",
    "expires",
    "reference",
    "return_url",
    "site",
    "title",
)


def link_message(parameters: Mapping[str, str]) -> bytes:
    """Return what is signed: each parameter that is there, by name, ``name=value`` and a newline.

    Values stand as they are, in UTF-8, not as a URL writes them. None contains a newline.
    """
    lines = [f"{name}={parameters[name]}\n" for name in LINK_PARAMETERS if name in parameters]
    return "".join(lines).encode()


def sign_link(secrets: tuple[str, ...], parameters: Mapping[str, str]) -> str:
    """Return the signature of a link with the newest of the secrets."""
    return _signer(secrets).get_signature(link_message(parameters)).decode("ascii")


def check_link(secrets: tuple[str, ...], parameters: Mapping[str, str], signature: str) -> None:
    """Raise LinkInvalid unless one of the secrets signed these parameters."""
    unsafe = any("\n" in value for value in parameters.values())
    signed = signature.isascii() and _signer(secrets).verify_signature(
        link_message(parameters), signature
    )
    if unsafe or not signed:
        raise LinkInvalid("The shop has not signed this link as it stands here.")


def _signer(secrets: tuple[str, ...]) -> Signer:
    oldest_first = [secret.encode() for secret in reversed(secrets)]
    return Signer(
        oldest_first, LINK_PURPOSE.encode(), key_derivation="hmac", digest_method=hashlib.sha256
    )


@dataclass(frozen=True)
class OrderClaims:
    """What the token says that a customer brings back. In it: s, o, r, t, a, c."""

    site: str
    order: str
    reference: str
    state: str
    total_minor: int
    currency: str
    issued_at: int


def issue_order(secrets: tuple[str, ...], claims: OrderClaims) -> str:
    """Return the token as text that is safe in a URL."""
    payload: dict[str, object] = {
        "s": claims.site,
        "o": claims.order,
        "r": claims.reference,
        "t": claims.state,
        "a": claims.total_minor,
        "c": claims.currency,
    }
    return codec_for(ORDER_PURPOSE, secrets).seal(payload, claims.issued_at)


def check_order(secrets: tuple[str, ...], token: str, *, site: str) -> OrderClaims:
    """Return what a token of this site says; raise LinkInvalid. Old ones stay readable."""
    try:
        claims, issued_at = codec_for(ORDER_PURPOSE, secrets).open(token)
        order = OrderClaims(
            site=text_of(claims, "s"),
            order=text_of(claims, "o"),
            reference=text_of(claims, "r"),
            state=text_of(claims, "t"),
            total_minor=int_of(claims, "a"),
            currency=text_of(claims, "c"),
            issued_at=issued_at,
        )
    except TokenUnreadable:
        raise LinkInvalid("The token was not given out for this site.") from None
    if order.site != site:
        raise LinkInvalid("The token was not given out for this site.")
    return order
