"""Payment codes as wallets read them: an address with an amount (BIP 21), an invoice (BOLT 11).

A code may carry both; then this wallet pays over Lightning, which is cheaper and quicker.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qsl

from bitcache_server.domain.errors import AddressInvalid
from bitcache_server.domain.money import SAT_PER_BTC, msat_to_sat_ceil
from bitcache_server.rails.lightning.decoding import decode, looks_like_invoice

_ADDRESS = re.compile(r"[A-Za-z0-9]{14,90}")
_AMOUNT = re.compile(r"[0-9]{0,8}(\.[0-9]{0,8})?")


class NotAPaymentCode(Exception):
    """The text is no code that this wallet can pay; the message is for a person."""


@dataclass(frozen=True)
class PaymentCode:
    """Whom to pay, and how much if the code says so."""

    destination: str
    """An address, or an invoice."""
    amount_sat: int | None
    over_lightning: bool = False


def parse_payment_code(text: str) -> PaymentCode:
    """Read ``bitcoin:address?amount=…``, ``lightning:invoice`` or either without its scheme.

    Raises NotAPaymentCode.
    """
    if looks_like_invoice(text.strip()):
        return _invoice(text)
    scheme, separator, rest = text.strip().partition(":")
    if separator and scheme.lower() != "bitcoin":
        raise NotAPaymentCode("This is not a bitcoin payment code.")
    address, _, query = (rest if separator else scheme).partition("?")
    if not _ADDRESS.fullmatch(address):
        raise NotAPaymentCode("This is not a bitcoin payment code.")
    # Bech32 may be all upper case, which makes a QR code smaller (BIP 173).
    if address.isupper():
        address = address.lower()
    fields = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
    # A wallet must not pay a code with a demand that it does not know.
    if any(name.startswith("req-") for name in fields):
        raise NotAPaymentCode("This code asks for something that this wallet cannot do.")
    if fields.get("lightning"):
        return _invoice(fields["lightning"])
    return PaymentCode(address, _sat(fields["amount"]) if "amount" in fields else None)


def _invoice(text: str) -> PaymentCode:
    try:
        found = decode(text, "regtest")
    except AddressInvalid as error:
        raise NotAPaymentCode(error.detail) from None
    if found.amount_msat is None:
        raise NotAPaymentCode("This invoice does not say how much to pay.")
    return PaymentCode(found.bolt11, msat_to_sat_ceil(found.amount_msat), over_lightning=True)


def _sat(amount: str) -> int:
    if not _AMOUNT.fullmatch(amount) or not amount.strip("."):
        raise NotAPaymentCode("The amount in this code is not a number of bitcoin.")
    return int(Decimal(amount) * SAT_PER_BTC)
