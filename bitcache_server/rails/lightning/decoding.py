"""Reading a BOLT 11 invoice, with every failure in words for the person who typed it.

The library's exceptions come from five packages, so all of them are caught here.
https://github.com/lightning/bolts/blob/master/11-payment-encoding.md
"""

import hashlib
import re
from dataclasses import dataclass

import bolt11

from bitcache_server.domain.errors import AddressInvalid

#: Longer than any real invoice, with room for many route hints.
MAX_LENGTH = 4096
#: What stands behind ``ln``, by our name of the network.
PREFIXES = {"mainnet": "bc", "testnet": "tb", "signet": "tbs", "regtest": "bcrt"}
#: Further than any database or calendar goes, for an invoice that "never" expires.
_LATEST = 2**40

_SCHEME = "lightning:"
_INVOICE = re.compile(r"ln(?P<prefix>bcrt|bc|tbs|tb|sb)(?:\d+[munp]?)?1[02-9ac-hj-np-z]{7,}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Decoded:
    """What an invoice says."""

    bolt11: str
    """In lower case, without ``lightning:``."""
    payment_hash: str
    """64 hexadecimal digits."""
    amount_msat: int | None
    """None where the payer chooses."""
    created_at: int
    expires_at: int
    memo: str | None
    """What wallets show; None where the invoice carries a hash instead."""
    description_hash: str | None
    payee: str
    """The node's public key in hex."""


def looks_like_invoice(text: str) -> bool:
    """Return whether somebody meant an invoice, be it damaged or of another network."""
    head = _without_scheme(text)[:16].lower()
    return re.match(r"ln(?:bc|tb|sb)", head) is not None


def decode(text: str, network: str) -> Decoded:
    """Return what the invoice says; upper case and ``lightning:`` are accepted.

    Raises AddressInvalid, in a reader's words: a typing error, another network, something
    else than an invoice. An expired invoice is decoded like any other.
    """
    invoice = _without_scheme(text)
    if len(invoice) > MAX_LENGTH or not invoice.isascii():
        raise AddressInvalid("That is no Lightning invoice.")
    if invoice not in (invoice.lower(), invoice.upper()):
        # BIP 173: mixed case is a typing error.
        raise _damaged()
    invoice = invoice.lower()
    _check_shape(invoice, network)
    try:
        found = bolt11.decode(invoice)
        return _decoded(invoice, found)
    except AddressInvalid:
        raise
    except Exception:  # bech32, bitstring, coincurve, UnicodeDecodeError, its own
        raise _damaged() from None


def has_amount(invoice: str) -> bool:
    """Return whether a decoded invoice fixes the amount; it stands before the last ``1``."""
    return re.search(r"\d", invoice.rpartition("1")[0]) is not None


def description_hash_of(description: str) -> str:
    """Return what an invoice commits to for a description: its SHA-256 in hex (BOLT 11, h)."""
    return hashlib.sha256(description.encode()).hexdigest()


def preimage_fits(preimage: str, payment_hash: str) -> bool:
    """Return whether the preimage (hex) is the proof of payment for that hash (BOLT 11)."""
    if not _HASH.fullmatch(preimage.lower()):
        return False
    return hashlib.sha256(bytes.fromhex(preimage)).hexdigest() == payment_hash.lower()


def _without_scheme(text: str) -> str:
    stripped = text.strip()
    if stripped[: len(_SCHEME)].lower() == _SCHEME:
        return stripped[len(_SCHEME) :].lstrip("/")
    return stripped


def _check_shape(invoice: str, network: str) -> None:
    shape = _INVOICE.fullmatch(invoice)
    if shape is None:
        if looks_like_invoice(invoice):
            raise _damaged()
        raise AddressInvalid("That is no Lightning invoice.")
    if shape["prefix"] != PREFIXES[network]:
        names = {prefix: name for name, prefix in PREFIXES.items()}
        other = names.get(shape["prefix"], "another network")
        raise AddressInvalid(f"That is an invoice of {other}. This server pays on {network}.")


def _decoded(invoice: str, found: bolt11.Bolt11) -> Decoded:
    amount_msat = None if found.amount_msat is None else int(found.amount_msat)
    # BOLT 11: an amount in p counts tenths of a msat, so it must end in 0.
    if amount_msat == 0 or re.match(r"ln[a-z]+\d*[1-9]p1", invoice):
        raise AddressInvalid("The invoice asks for an amount that cannot be paid.")
    payment_hash, payee = found.payment_hash, found.payee or ""
    if not _HASH.fullmatch(payment_hash) or not payee:
        raise _damaged()
    return Decoded(
        bolt11=invoice,
        payment_hash=payment_hash,
        amount_msat=amount_msat,
        created_at=int(found.date),
        expires_at=min(int(found.date) + int(found.expiry), _LATEST),
        memo=found.description,
        description_hash=found.description_hash,
        payee=payee,
    )


def _damaged() -> AddressInvalid:
    return AddressInvalid("The invoice is damaged: a character is missing or changed.")
