"""Signed BOLT 11 invoices for regtest, for the scripted backend.

The preimage follows from the payment secret that every payer reads in the invoice: such an
invoice protects nothing, and nothing of value is behind it. The bolt11 library reads them;
its writer, and the checksum of the bech32 library, take longer than all else that an invoice
costs us, and would be what a benchmark measures.
"""

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import xor

import bolt11
from bech32 import CHARSET
from bolt11.utils import msat_to_amount
from coincurve import PrivateKey

from bitcache_server.rails.lightning.backend import InvoiceOrder, IssuedInvoice
from bitcache_server.rails.lightning.decoding import description_hash_of

_TIMESTAMP_WORDS = 7
#: From the letters of RFC 4648 to numbers below 32.
_NUMBERS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bytes(range(32)))
#: From numbers below 32 to the digits of base 32, and to the characters of bech32.
_DIGITS = b"0123456789abcdefghijklmnopqrstuv".ljust(256)
_CHARACTERS = CHARSET.encode().ljust(256)
#: What the five highest bits of a checksum do to it (BIP 173, "Checksum").
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_STEPS = [
    reduce(xor, (part for bit, part in enumerate(_GENERATOR) if top >> bit & 1), 0)
    for top in range(32)
]


@dataclass(frozen=True)
class Wording:
    """What an invoice says. An amount of 0 leaves the amount to the payer."""

    amount_msat: int
    memo: str
    description_hash: str
    """Hex; where it is empty the invoice carries the memo."""
    expires_in_s: int


@dataclass(frozen=True)
class Signed:
    """An invoice and its proof of payment."""

    bolt11: str
    payment_hash: str
    preimage: str


def make_invoice(order: InvoiceOrder, now: int, private_key: str) -> IssuedInvoice:
    """Return an invoice for the order, signed with the key (hex), created ``now``."""
    description_hash = description_hash_of(order.description) if order.description else ""
    wording = Wording(order.amount_msat, order.memo, description_hash, order.expires_in_s)
    signed = sign_invoice(wording, now, private_key)
    return IssuedInvoice(signed.bolt11, signed.payment_hash)


def sign_invoice(wording: Wording, now: int, private_key: str) -> Signed:
    """Return an invoice signed with the key (hex), created ``now``."""
    payment_secret = secrets.token_hex(32)
    preimage = _preimage_of(payment_secret)
    payment_hash = hashlib.sha256(bytes.fromhex(preimage)).hexdigest()
    purpose = (
        _field("h", _words(bytes.fromhex(wording.description_hash)))
        if wording.description_hash
        else _field("d", _words(wording.memo.encode()))
    )
    data = [
        *_number(now, _TIMESTAMP_WORDS),
        *_field("p", _words(bytes.fromhex(payment_hash))),
        *_field("s", _words(bytes.fromhex(payment_secret))),
        *purpose,
        *_field("x", _shortest(wording.expires_in_s)),
        *_FIXED,
    ]
    prefix = "lnbcrt" + (msat_to_amount(wording.amount_msat) if wording.amount_msat else "")
    signature = _key(private_key).sign_recoverable(prefix.encode() + _octets(data))
    return Signed(_bech32(prefix, data + _words(signature)), payment_hash, preimage)


@lru_cache(maxsize=8)
def _key(private_key: str) -> PrivateKey:
    """Return the key with its public half, which takes as long to find as a signature."""
    key: PrivateKey = PrivateKey.from_hex(private_key)
    return key


def scripted_preimage(text: str) -> str:
    """Return the preimage (hex) of an invoice made here; of others, something that fits not."""
    return _preimage_of(bolt11.decode(text).payment_secret or "")


def _preimage_of(payment_secret: str) -> str:
    return hashlib.sha256(f"scripted {payment_secret}".encode()).hexdigest()


def _words(data: bytes) -> list[int]:
    """Return bytes as numbers of five bits, filled up with zeros at the end (RFC 4648)."""
    return list(b32encode(data).rstrip(b"=").translate(_NUMBERS))


def _octets(words: list[int]) -> bytes:
    """Return numbers of five bits as bytes, filled up with zeros at the end."""
    bits = 5 * len(words)
    value = int(bytes(words).translate(_DIGITS), 32) << -bits % 8
    return value.to_bytes(-(-bits // 8), "big")


def _bech32(prefix: str, words: list[int]) -> str:
    """Return the text with its checksum (BIP 173), with a table in the place of five tests."""
    high, low = [ord(x) >> 5 for x in prefix], [ord(x) & 31 for x in prefix]
    checksum = 1
    for value in (*high, 0, *low, *words, 0, 0, 0, 0, 0, 0):
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value ^ _BECH32_STEPS[checksum >> 25]
    ending = _number(checksum ^ 1, 6)
    return f"{prefix}1{bytes(words + ending).translate(_CHARACTERS).decode()}"


def _number(value: int, words: int) -> list[int]:
    return [value >> 5 * place & 31 for place in reversed(range(words))]


def _shortest(value: int) -> list[int]:
    return _number(value, max(1, -(-value.bit_length() // 5)))


def _field(tag: str, data: list[int]) -> list[int]:
    return [CHARSET.index(tag), *_number(len(data), 2), *data]


#: Blocks that the last hop needs, and the features that every invoice has: the payment
#: secret and the onion of variable length, both required (BOLT 9, bits 14 and 8).
_FIXED = [*_field("c", _shortest(18)), *_field("9", _shortest(1 << 14 | 1 << 8))]
