"""Signed BOLT 11 invoices for regtest, for the scripted backend.

The preimage follows from the payment secret that every payer reads in the invoice: such an
invoice protects nothing, and nothing of value is behind it. The bolt11 library reads them;
its writer, and the checksum of the bech32 library, take longer than all else that an invoice
costs us, and would be what a benchmark measures.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import xor
from typing import NamedTuple

import bolt11
from bech32 import CHARSET
from bolt11.utils import msat_to_amount
from coincurve import PrivateKey

from bitcache_server.rails.lightning.backend import InvoiceOrder, IssuedInvoice
from bitcache_server.rails.lightning.decoding import description_hash_of

_TIMESTAMP_WORDS, _SIGNATURE_WORDS, _CHECKSUM_WORDS = 7, 104, 6
#: From numbers below 32 to the characters of bech32.
_CHARACTERS = CHARSET.encode().ljust(256)
#: What the five highest bits of a checksum do to it (BIP 173, "Checksum").
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_STEPS = [
    reduce(xor, (part for bit, part in enumerate(_GENERATOR) if top >> bit & 1), 0)
    for top in range(32)
]
#: Tables are made for this many words, or twice, four times … as many.
_ROOM_WORDS = 512


class _Words(NamedTuple):
    """Words of five bits, one behind the other in a single number."""

    value: int
    size: int


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
    data = _joined(
        _Words(now, _TIMESTAMP_WORDS),
        _field("p", _of_hex(payment_hash)),
        _field("s", _of_hex(payment_secret)),
        _field("h", _of_hex(wording.description_hash))
        if wording.description_hash
        else _field("d", _of_hex(wording.memo.encode().hex())),
        _field("x", _shortest(wording.expires_in_s)),
        _FIXED,
    )
    prefix = "lnbcrt" + (msat_to_amount(wording.amount_msat) if wording.amount_msat else "")
    signature = _key(private_key).sign_recoverable(prefix.encode() + _octets(data))
    signed = _joined(data, _Words(int.from_bytes(signature), _SIGNATURE_WORDS))
    return Signed(_bech32(prefix, signed), payment_hash, preimage)


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


def _of_hex(text: str) -> _Words:
    """Return bytes in hex as words, filled up with zeros at the end (RFC 4648)."""
    bits = 4 * len(text)
    return _Words(int(text or "0", 16) << -bits % 5, -(-bits // 5))


def _octets(words: _Words) -> bytes:
    """Return words as bytes, filled up with zeros at the end."""
    bits = 5 * words.size
    return (words.value << -bits % 8).to_bytes(-(-bits // 8))


def _joined(*parts: _Words) -> _Words:
    value = size = 0
    for part in parts:
        value = value << 5 * part.size | part.value
        size += part.size
    return _Words(value, size)


def _shortest(value: int) -> _Words:
    return _Words(value, max(1, -(-value.bit_length() // 5)))


def _field(tag: str, data: _Words) -> _Words:
    """Return a tag of one word, a length of two words, and the data."""
    head = CHARSET.index(tag) << 10 | data.size
    return _Words(head << 5 * data.size | data.value, 3 + data.size)


#: Blocks that the last hop needs, and the features that every invoice has: the payment
#: secret and the onion of variable length, both required (BOLT 9, bits 14 and 8).
_FIXED = _joined(_field("c", _shortest(18)), _field("9", _shortest(1 << 14 | 1 << 8)))


def _bech32(prefix: str, words: _Words) -> str:
    """Return the text with its checksum (BIP 173)."""
    ending = _Words(_checksum(_joined(_after(prefix), words)), _CHECKSUM_WORDS)
    return f"{prefix}1{_characters(_joined(words, ending))}"


def _checksum(words: _Words) -> int:
    """Return the checksum of words behind each other; the first six are where it stands.

    The checksum is linear: each of its bits is the parity of some bits of the words.
    """
    checksum = 0
    for bits in _parities(_room(words)):
        checksum = checksum << 1 | (words.value & bits).bit_count() & 1
    return checksum ^ 1


def _step(checksum: int) -> int:
    """Return the checksum after a word of zeros."""
    return (checksum & 0x1FFFFFF) << 5 ^ _BECH32_STEPS[checksum >> 25]


@lru_cache(maxsize=64)
def _after(prefix: str) -> _Words:
    """Return where the checksum stands after the part of the text that people read."""
    checksum = 1
    for value in (*(ord(x) >> 5 for x in prefix), 0, *(ord(x) & 31 for x in prefix)):
        checksum = _step(checksum) ^ value
    return _Words(checksum, _CHECKSUM_WORDS)


@lru_cache(maxsize=8)
def _parities(words: int) -> Sequence[int]:
    """Return for each bit of the checksum, highest first, which bits of the words count."""
    lowest = [1 << bit for bit in range(5)]
    for _ in range(_CHECKSUM_WORDS):
        lowest = [_step(change) for change in lowest]
    changes: list[int] = []
    for _ in range(words):
        changes += lowest
        lowest = [_step(change) for change in lowest]
    return [
        int("".join(str(change >> bit & 1) for change in reversed(changes)), 2)
        for bit in reversed(range(5 * _CHECKSUM_WORDS))
    ]


def _characters(words: _Words) -> str:
    """Return words as characters. First each is moved into a byte of its own, all at once."""
    value = words.value
    for stay, move, places in _moves(_room(words)):
        value = value & stay | (value & move) << places
    return value.to_bytes(words.size).translate(_CHARACTERS).decode()


@lru_cache(maxsize=8)
def _moves(words: int) -> Sequence[tuple[int, int, int]]:
    """Return masks that move half of all words away from the others, then half of each half.

    ``words`` is a power of two. In the end each has three bits more than before.
    """
    moves = []
    half = words
    while half := half // 2:
        starts = range(0, 8 * words, 16 * half)
        stay = sum((1 << 5 * half) - 1 << start for start in starts)
        moves.append((stay, stay << 5 * half, 3 * half))
    return moves


def _room(words: _Words) -> int:
    """Return how many words the tables must be for: few sizes, so that they are kept."""
    return _ROOM_WORDS << (-(-words.size // _ROOM_WORDS) - 1).bit_length()
