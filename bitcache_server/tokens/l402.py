"""L402 tokens: macaroons that open one item for whoever knows the invoice's preimage.

https://github.com/lightninglabs/L402/blob/master/macaroon-spec.md and bLIP-26. The key of
each token follows from the server's secret and the token's identifier, so that a token is
checked without a table of keys: who shows it together with the preimage has paid.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymacaroons2 import MACAROON_V2, Macaroon, Verifier
from pymacaroons2.serializers.binary_serializer import BinarySerializer

from bitcache_server.domain.errors import L402Invalid, PaymentRequired

MAX_L402_CHARS = 4_096
SERVICE = "bitcache"
_PURPOSE = b"bitcache.l402.v1"
_KEY_BYTES = 32
#: Version, payment hash and token id, as the reference implementation reads them.
_VERSION = b"\x00\x00"
_IDENTIFIER_BYTES = 66
_FORMAT_V2 = 2
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_PREIMAGE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

_ITEM = f"{SERVICE}_item"
_INVOICE = f"{SERVICE}_invoice"
_AMOUNT = f"{SERVICE}_amount_msat"
_EXPIRY = f"{SERVICE}_valid_until"
_USES = f"{SERVICE}_max_uses"
#: What a token may say when it leaves the server.
_ISSUED = frozenset({"services", _ITEM, _INVOICE, _AMOUNT, _EXPIRY, _USES})


@dataclass(frozen=True)
class L402Claims:
    """What a token says."""

    payment_hash: str
    """64 hexadecimal digits; whose preimage must come with the token."""
    invoice: str
    item: str
    amount_msat: int
    """The price that was asked, which stays the price of this token."""
    expires_at: int
    """The first second at which it opens nothing."""
    max_uses: int | None
    """How often it opens the item; None for any number."""


def issue_l402(secret_key: str, location: str, claims: L402Claims) -> str:
    """Return the token in base64 (RFC 4648 section 4): the same claims, the same token."""
    token_id = hashlib.sha256(f"{claims.invoice}:{claims.item}".encode()).digest()
    identifier = _VERSION + bytes.fromhex(claims.payment_hash) + token_id
    key = _root_key(secret_key, identifier)
    token = Macaroon(location=location, identifier=identifier, key=key, version=MACAROON_V2)
    caveats = {
        "services": f"{SERVICE}:0",
        _ITEM: claims.item,
        _INVOICE: claims.invoice,
        _AMOUNT: str(claims.amount_msat),
        _EXPIRY: str(claims.expires_at),
    }
    if claims.max_uses is not None:
        caveats[_USES] = str(claims.max_uses)
    for name, value in caveats.items():
        token.add_first_party_caveat(f"{name}={value}")
    return base64.b64encode(BinarySerializer().serialize_raw(token)).decode("ascii")


def check_l402(secret_key: str, token: str, preimage: str, *, item: str, now: int) -> L402Claims:
    """Return the claims of a token that opens the item at this time.

    Raises PaymentRequired where only a new payment helps: a text that is no token of ours,
    one for another item, one that is over. Raises L402Invalid where the token is ours and
    may have been paid for, so that nobody is asked to pay twice: the preimage is wrong, or
    its holder added a caveat that does not hold here.
    """
    payment_hash, values = _paid(secret_key, token, preimage)
    claims = _claims(payment_hash, values)
    for name in (_ITEM, _INVOICE, _AMOUNT):
        if len(set(values[name])) > 1:
            raise L402Invalid(f"The caveat {name!r} is there twice and says two things.")
    if claims.item != item:
        raise PaymentRequired("The L402 token was paid for another item.")
    if now >= claims.expires_at:
        raise PaymentRequired("The time that was paid for is over.")
    return claims


def check_unchanged_l402(secret_key: str, token: str, preimage: str) -> L402Claims:
    """Return the claims of a token as it was issued, also of one whose time is over.

    For who wants more than to open the item: one that was weakened and passed on is not
    enough. A limit of uses may have been added all the same, so the caller compares it with
    what is issued. Raises PaymentRequired, and L402Invalid for a wrong preimage or any
    caveat that a holder added.
    """
    payment_hash, values = _paid(secret_key, token, preimage)
    if set(values) - _ISSUED or any(len(listed) > 1 for listed in values.values()):
        raise L402Invalid("A caveat was added to this token; only the whole one will do.")
    return _claims(payment_hash, values)


def _paid(secret_key: str, token: str, preimage: str) -> tuple[str, Mapping[str, list[str]]]:
    payment_hash, values = _signed(secret_key, token)
    if not _fits(preimage, payment_hash):
        raise L402Invalid("The preimage does not belong to this token's invoice.")
    for name, listed in values.items():
        holds = _HOLDS.get(name)
        if holds is None or not all(holds(value, payment_hash) for value in listed):
            raise L402Invalid(f"The caveat {name[:40]!r} does not hold here.")
    return payment_hash, values


def _claims(payment_hash: str, values: Mapping[str, list[str]]) -> L402Claims:
    return L402Claims(
        payment_hash=payment_hash,
        invoice=values[_INVOICE][0],
        item=values[_ITEM][0],
        amount_msat=int(values[_AMOUNT][0]),
        expires_at=min(int(value) for value in values[_EXPIRY]),
        max_uses=min((int(value) for value in values.get(_USES, ())), default=None),
    )


@lru_cache(maxsize=1_024)
def _signed(secret_key: str, token: str) -> tuple[str, Mapping[str, list[str]]]:
    """Return payment hash and caveats of a token of ours; raise PaymentRequired.

    Remembered for a while, since whoever fetches a file in parts shows it with each. What
    may change, the time and the item, is looked at each time.
    """
    macaroon = _read(secret_key, token)
    return macaroon.identifier_bytes[2:34].hex(), _caveats(macaroon)


def _read(secret_key: str, token: str) -> Macaroon:
    """Return a macaroon that this server signed; raise PaymentRequired for anything else."""
    refusal = PaymentRequired("The L402 token was not given out by this server.")
    standard = token.translate(str.maketrans("-_", "+/"))
    if len(standard) > MAX_L402_CHARS or not _BASE64.fullmatch(standard):
        raise refusal
    try:
        raw = base64.b64decode(standard.rstrip("=") + "=" * (-len(standard.rstrip("=")) % 4))
        if raw[:1] != bytes([_FORMAT_V2]):
            raise refusal
        macaroon = BinarySerializer().deserialize_raw(raw)
        identifier = macaroon.identifier_bytes
        if len(identifier) != _IDENTIFIER_BYTES or not identifier.startswith(_VERSION):
            raise refusal
        if macaroon.third_party_caveats():
            raise refusal
        checker = Verifier()
        # Only whether the signature is ours; what the caveats say is looked at afterwards.
        checker.satisfy_general(lambda _: True)
        checker.verify(macaroon, _root_key(secret_key, identifier))
    except PaymentRequired:
        raise
    except Exception as error:
        # The library raises what it likes at broken bytes, a bare Exception among it.
        raise refusal from error
    return macaroon


def _root_key(secret_key: str, identifier: bytes) -> bytes:
    """Return the key of one token, derived from the server's (RFC 5869)."""
    derivation = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE + identifier)
    return derivation.derive(secret_key.encode())


def _fits(preimage: str, payment_hash: str) -> bool:
    text = preimage.lower()
    if not _PREIMAGE.fullmatch(text):
        return False
    digest = hashlib.sha256(binascii.unhexlify(text)).hexdigest()
    return hmac.compare_digest(digest, payment_hash)


def _caveats(macaroon: Macaroon) -> Mapping[str, list[str]]:
    """Return the values of each caveat in their order: ours first, then the holder's."""
    values: dict[str, list[str]] = {}
    for caveat in macaroon.caveats:
        name, _, value = caveat.caveat_id_bytes.decode("utf-8").partition("=")
        values.setdefault(name.strip(), []).append(value.strip())
    return values


def _is_for_us(services: str, _: str) -> bool:
    return SERVICE in [service.partition(":")[0].strip() for service in services.split(",")]


def _is_number(value: str, _: str) -> bool:
    return _NUMBER.fullmatch(value) is not None


def _is_text(value: str, _: str) -> bool:
    return bool(value)


#: How each caveat that may stand in a token is read; any other one refuses.
_HOLDS: Mapping[str, Callable[[str, str], bool]] = {
    "services": _is_for_us,
    # Added by clients that cannot send the preimage beside the token.
    "preimage": _fits,
    _ITEM: _is_text,
    _INVOICE: _is_text,
    _AMOUNT: _is_number,
    _EXPIRY: _is_number,
    _USES: _is_number,
}
