"""Links that open a Lightning wallet, and their form for QR codes."""


def lightning_uri(bolt11: str) -> str:
    """Return ``lightning:<invoice>``, the scheme that wallets register."""
    return f"lightning:{bolt11.lower()}"


def lightning_qr_uri(bolt11: str) -> str:
    """Return the link in capitals, which make a smaller code; BOLT 11 ignores their case."""
    return lightning_uri(bolt11).upper()
