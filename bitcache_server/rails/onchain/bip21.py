"""Payment links (BIP 21) and their form for QR codes."""

from urllib.parse import quote

from bitcache_server.domain.money import format_btc

#: Beginnings of bech32 addresses (BIP 173), which may be written in upper case.
_BECH32_BEGINNINGS = ("bc1", "tb1", "bcrt1")


def payment_uri(
    address: str, amount_sat: int, label: str | None = None, *, bolt11: str = ""
) -> str:
    """Return ``bitcoin:<address>?amount=<BTC>``; the amount is exact, without an exponent.

    With a ``bolt11`` invoice for the same payment, a wallet that knows Lightning takes that
    one: https://bitcoinqr.dev
    """
    uri = f"bitcoin:{address}?amount={format_btc(amount_sat)}"
    uri = uri if not label else f"{uri}&label={quote(label, safe='')}"
    return f"{uri}&lightning={bolt11}" if bolt11 else uri


def qr_uri(address: str, amount_sat: int, *, bolt11: str = "") -> str:
    """Return the link for a QR code.

    Upper case has a denser mode in QR codes, so the code has fewer, larger
    modules. Only bech32 ignores case: a base58 address stays as it is. The
    parameters' names stay in lower case, as BIP 21 demands.
    """
    bolt11 = bolt11.upper()
    if not address.lower().startswith(_BECH32_BEGINNINGS):
        return payment_uri(address, amount_sat, bolt11=bolt11)
    dense = f"BITCOIN:{address.upper()}?amount={format_btc(amount_sat)}"
    return f"{dense}&lightning={bolt11}" if bolt11 else dense
